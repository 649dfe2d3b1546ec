"""The built-in scenes: a meadow under a day or a night sky, drawn from (split, index), without any file.

The paper's point, in small. Two pairs of TWINS (butterfly and moth, tulip and lantern) look exactly the same; only the
sky at the top says which of the two they are. The meadow and all that stands on it are drawn from a random stream that
never learns which sky is above, so nothing below the horizon gives the sky away, the light included. Twins keep
`TWIN_NEAREST_PX` away from the sky: farther than the small front end followed by dilations 1,1,1,1,1,1,1 can see
(83 px, and 8 px of grid), nearer than the default context module can (291 px).
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from configs.schema import ShapesConfig
from data.labels import VOID, ClassSet
from data.palette import Color

Sky = Literal["day", "night"]
Points = NDArray[np.float64]  # points_N2 (x, y), y down
Bytes = NDArray[np.uint8]
Part = tuple[Points, Color]  # a filled outline of a thing, in units of the thing's radius

SCENES = ClassSet(
    names=("day sky", "night sky", "meadow", "tree", "stone", "butterfly", "moth", "tulip", "lantern"),
    palette=(
        (130, 200, 250),
        (40, 44, 110),
        (168, 208, 112),
        (34, 112, 72),
        (140, 138, 146),
        (244, 140, 202),
        (124, 72, 168),
        (228, 56, 60),
        (252, 178, 44),
    ),
)
DAY_SKY, NIGHT_SKY, MEADOW, TREE, STONE, BUTTERFLY, MOTH, TULIP, LANTERN = range(SCENES.num_classes)

TWIN_NEAREST_PX = 104  # between the lowest row that the sky touches and any pixel of a twin or of its void border
TWIN_FARTHEST_PX = 224
VOID_PX = 3  # widest void border; it lies on both sides of an outline
BAND_HEIGHT = (0.14, 0.20)  # highest and lowest point of the horizon, as fractions of the picture's height
FINE = 2  # drawn so much larger, then averaged down
SLIT = np.ones((7, 7), np.uint8)  # narrower gaps inside a thing (between leaf and stem) belong to it; fine pixels
CIRCLE = np.array([(math.cos(turn), math.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 25)[:-1]])
CACHED_BYTES = 512 * 2**20  # scenes kept in memory by one `Shapes`; the rest are drawn again

SPLITS = ("train", "val")
DIE, GROUND, HEAVEN = range(3)  # independent random streams


class Thing(NamedTuple):
    """Something that stands on the meadow: a disc of which no other thing takes a part."""

    label: int
    x: float
    y: float
    radius: float


def sky_of(split: str, index: int) -> Sky:
    """One of the scenes 3k, 3k+1, 3k+2 is by night, and a die says which.

    Two thirds by day: the best guess of a network that cannot see the sky is then always the twin of the day, and its
    mean IoU means something. With halves it wavers between guessing one twin (IoU 1/2 and 0) and mixing (1/3 and 1/3).
    """
    return "night" if index % 3 == int(_stream(DIE, split, index // 3).integers(3)) else "day"


def draw(split: str, index: int, size_px: int, sky: Sky | None = None) -> tuple[Bytes, Bytes]:
    """Image_HW3 (RGB) and label_HW of a scene; `sky` overrides the die and changes nothing below the horizon."""
    sky = sky or sky_of(split, index)
    ground_rng = _stream(GROUND, split, index)
    horizon_W = _horizon(ground_rng, size_px)
    lowest_sky_px = float(horizon_W.max()) / FINE
    things = _place(ground_rng, size_px, lowest_sky_px)
    image = _meadow(ground_rng, size_px, lowest_sky_px, things)
    ids = np.full(image.shape[:2], MEADOW, np.uint8)
    for thing in things:
        label = thing.label + (sky == "night" and thing.label in (BUTTERFLY, TULIP))  # the other twin is the next id
        _paint(image, ids, thing, PAINTERS[thing.label](ground_rng), label)
    ids = np.asarray(cv2.morphologyEx(ids, cv2.MORPH_CLOSE, SLIT), np.uint8)
    band = int(horizon_W.max())
    above_hW = np.arange(band)[:, None] < horizon_W
    cv2.copyTo(SKIES[sky](_stream(HEAVEN, split, index), band, len(horizon_W)), above_hW.astype(np.uint8), image[:band])
    ids[:band][above_hW] = DAY_SKY if sky == "day" else NIGHT_SKY
    return cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA).astype(np.uint8), _label(ids)


class Shapes:
    """The set of built-in scenes of one split (an `ImageSet`). Images and labels are read-only arrays."""

    classes = SCENES
    has_labels = True

    def __init__(self, config: ShapesConfig, split: str) -> None:
        """Raises UserError for an unknown split and for scenes too small to hold the twins' distance."""
        if split not in SPLITS:
            raise UserError(
                f"split {split!r}: the built-in scenes are drawn for two splits only; change data.train_split or "
                f"data.val_split; options: {', '.join(SPLITS)}"
            )
        _twin_rows(config.size_px, BAND_HEIGHT[1] * config.size_px)
        self.split = split
        self.size_px = config.size_px
        self.num_scenes = config.num_train if split == "train" else config.num_val
        self._drawn: dict[int, tuple[Bytes, Bytes]] = {}

    def __len__(self) -> int:
        return self.num_scenes

    def name(self, index: int) -> str:
        return f"{self.split}-{index:05d}"

    def read(self, index: int) -> tuple[Bytes, Bytes]:
        """Image_HW3 (RGB) and label_HW (train ids or VOID)."""
        if not 0 <= index < self.num_scenes:
            raise IndexError(f"scene {index} of {self.num_scenes}")
        if index in self._drawn:
            return self._drawn[index]
        image, label = draw(self.split, index, self.size_px)
        image.setflags(write=False)
        label.setflags(write=False)
        if (len(self._drawn) + 1) * (image.nbytes + label.nbytes) <= CACHED_BYTES:
            self._drawn[index] = image, label
        return image, label

    def describe(self) -> str:
        size = f"{self.size_px}x{self.size_px} px"
        return f"built-in scenes, {self.split}: {self.num_scenes} of {size}, two thirds by day"


def _stream(stream: int, split: str, index: int) -> np.random.Generator:
    return np.random.default_rng((stream, SPLITS.index(split), index))


# Where things stand ---------------------------------------------------------------------------------------------------
def _horizon(rng: np.random.Generator, size_px: int) -> NDArray[np.int64]:
    """Rolling hills: the first row (fine) of the ground in every column (fine)."""
    x = np.linspace(0, 2 * np.pi, size_px * FINE)
    wave = np.sin(x * rng.uniform(0.7, 1.6) + rng.uniform(0, 6)) + 0.4 * np.sin(2.7 * x + rng.uniform(0, 6))
    low, high = BAND_HEIGHT
    middle = rng.uniform(low + 0.2 * (high - low), high - 0.2 * (high - low))
    reach = min(middle - low, high - middle) / 1.4
    horizon_W: NDArray[np.int64] = np.floor((middle + reach * wave) * size_px * FINE).astype(np.int64)
    return horizon_W


def _twin_rows(size_px: int, lowest_sky_px: float) -> tuple[float, float]:
    """First and last row that a twin with its void border may touch. Raises UserError if there is no room."""
    first = lowest_sky_px + VOID_PX + TWIN_NEAREST_PX
    last = min(lowest_sky_px + TWIN_FARTHEST_PX, size_px - 1.0)
    if last - first < 2 * (RADIUS[BUTTERFLY][0] + VOID_PX):
        raise UserError(
            f"data.shapes.size_px={size_px}: twins must lie {TWIN_NEAREST_PX} px below the sky and need more room than "
            "is left there; make it larger; options: 192 to 2048"
        )
    return first, last


def _place(rng: np.random.Generator, size_px: int, lowest_sky_px: float) -> list[Thing]:
    """Twins first, since their zone is the narrowest; a thing that finds no free place is left out."""
    first, last = _twin_rows(size_px, lowest_sky_px)
    wide = size_px / 256
    counts = {label: round(rng.integers(3, 6) * wide) for label in (BUTTERFLY, TULIP)}
    counts |= {label: round(rng.integers(3, 7) * wide * wide) for label in (TREE, STONE)}
    to_place = sorted((label in (TREE, STONE), turn, label) for label, count in counts.items() for turn in range(count))
    discs = np.zeros((0, 3))
    things: list[Thing] = []
    for anywhere, _, label in to_place:
        radius = rng.uniform(*RADIUS[label])
        edge = radius + VOID_PX
        top, bottom = (lowest_sky_px + VOID_PX, size_px - 1.0) if anywhere else (first, last)
        x = rng.uniform(edge, size_px - edge, 100)
        y = rng.uniform(top + edge, bottom - edge, 100)
        gaps = np.hypot(x[:, None] - discs[:, 0], y[:, None] - discs[:, 1]) - discs[:, 2]
        free = np.flatnonzero((gaps > radius + 2 * VOID_PX).all(axis=1))
        if len(free):
            things.append(Thing(label, float(x[free[0]]), float(y[free[0]]), radius))
            discs = np.vstack([discs, (*things[-1][1:3], radius)])
    return things


# Drawing --------------------------------------------------------------------------------------------------------------
def _fixed(points: Points) -> NDArray[np.int32]:
    return np.round(points * 16).astype(np.int32)  # cv2's fixed point, shift=4


def _paint(image: Bytes, ids: Bytes, thing: Thing, parts: list[Part], label: int) -> None:
    outlines = _fixed((np.concatenate([points for points, _ in parts]) * thing.radius + (thing.x, thing.y)) * FINE)
    for points, color in parts:
        outline, outlines = outlines[: len(points)], outlines[len(points) :]
        cv2.fillPoly(image, [outline], color, cv2.LINE_AA, 4)
        cv2.fillPoly(ids, [outline], (label,), cv2.LINE_8, 4)


def _label(ids: Bytes) -> Bytes:
    """Every pixel within about one pixel of a border between classes is void."""
    kernel = np.ones((2 * FINE + 1, 2 * FINE + 1), np.uint8)
    _, border = cv2.threshold(cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, kernel), 0, 255, cv2.THRESH_BINARY)
    label = ids[::FINE, ::FINE].copy()
    label[cv2.resize(border, label.shape[::-1], interpolation=cv2.INTER_AREA) > 0] = VOID
    return label


def _noise(rng: np.random.Generator, cells: int, width: int, strength: float) -> NDArray[np.float32]:
    coarse = rng.normal(0, strength, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, width), interpolation=cv2.INTER_LINEAR), np.float32)


def _meadow(rng: np.random.Generator, size_px: int, lowest_sky_px: float, things: list[Thing]) -> Bytes:
    """Everything below the horizon but the things themselves; what lies above it is painted over."""
    light = np.linspace(1.1, 0.92, size_px, dtype=np.float32)[:, None] + _noise(rng, 6, size_px, 0.05)
    light += _noise(rng, size_px // 8, size_px, 0.02)
    light *= 1 - _shade(size_px, things)
    tint = np.array([146, 190, 92]) + rng.uniform(-9, 9, 3)
    ground = cv2.merge([cv2.convertScaleAbs(light, alpha=float(value)) for value in tint])
    width = size_px * FINE
    image = np.asarray(cv2.resize(ground, (width, width), interpolation=cv2.INTER_LINEAR), np.uint8)
    x = np.linspace(0, 1, 65)
    for rise, haze in ((0.045, (142, 184, 112)), (0.02, (138, 176, 132))):
        foot = lowest_sky_px / size_px + rise + 0.012 * np.sin(x * rng.uniform(5, 9) + rng.uniform(0, 6))
        hill = np.concatenate([[(0.0, 0.0)], np.stack([x, foot], axis=1), [(1.0, 0.0)]])
        cv2.fillPoly(image, [_fixed(hill * width)], haze, cv2.LINE_AA, 4)
    return image


def _shade(size_px: int, things: list[Thing]) -> NDArray[np.float32]:
    shade = np.zeros((size_px, size_px), np.float32)
    for thing in things:
        center = (thing.x + 0.15 * thing.radius, thing.y + 0.9 * thing.radius)
        cv2.fillPoly(shade, [_fixed(_ellipse(0, 0, 0.8, 0.28) * thing.radius + center)], (0.35,), cv2.LINE_8, 4)
    return np.asarray(cv2.blur(shade, (5, 5)), np.float32)


def _ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Points:
    moved: Points = _turned(CIRCLE * (rx, ry), degrees) + np.array([x, y])
    return moved


def _turned(points: Points, degrees: float) -> Points:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned: Points = points @ np.array([(cos, sin), (-sin, cos)])
    return turned


def _varied(rng: np.random.Generator, color: Color, amount: int = 10) -> Color:
    red, green, blue = (int(value) for value in np.clip(color + rng.integers(-amount, amount + 1, 3), 0, 255))
    return red, green, blue


def _winged(rng: np.random.Generator) -> list[Part]:
    """Butterfly and moth."""
    wing = _varied(rng, ((226, 150, 214), (240, 196, 226), (190, 140, 226))[rng.integers(3)])
    rim, spot, body = _varied(rng, (120, 52, 122)), _varied(rng, (255, 244, 214), 6), (58, 36, 52)
    parts: list[Part] = []
    for side in (-1, 1):
        parts.append((_ellipse(side * 0.42, 0.40, 0.40, 0.33, side * 48), rim))
        parts.append((_ellipse(side * 0.40, 0.38, 0.30, 0.24, side * 48), wing))
        parts.append((_ellipse(side * 0.52, -0.24, 0.52, 0.38, side * -36), rim))
        parts.append((_ellipse(side * 0.50, -0.22, 0.42, 0.29, side * -36), wing))
        parts.append((_ellipse(side * 0.60, -0.30, 0.14, 0.14), spot))
        parts.append((_ellipse(side * 0.44, 0.42, 0.10, 0.10), spot))
        parts.append((_ellipse(side * 0.16, -0.66, 0.05, 0.26, side * 28), body))
    parts.append((_ellipse(0, 0.04, 0.11, 0.56), body))
    tilt = rng.uniform(-35, 35)
    return [(_turned(points, tilt), color) for points, color in parts]


def _bulb(rng: np.random.Generator) -> list[Part]:
    """Tulip and lantern."""
    petal = _varied(rng, ((232, 74, 58), (240, 116, 44), (226, 62, 88))[rng.integers(3)])
    deep: Color = (petal[0] - 46, petal[1] // 2, petal[2] // 2)
    glow, leaf = _varied(rng, (255, 206, 92), 8), _varied(rng, (48, 116, 60), 8)
    parts: list[Part] = [
        (_ellipse(-0.34, 0.58, 0.17, 0.44, -32), leaf),
        (_ellipse(0.34, 0.58, 0.17, 0.44, 32), leaf),
        (_ellipse(0, 0.5, 0.12, 0.48), leaf),
        (_ellipse(-0.34, -0.34, 0.36, 0.60, 10), deep),
        (_ellipse(0.34, -0.34, 0.36, 0.60, -10), deep),
        (_ellipse(0, -0.28, 0.44, 0.56), petal),
        (_ellipse(0, -0.18, 0.23, 0.36), glow),
    ]
    tilt = rng.uniform(-12, 12)
    return [(_turned(points, tilt), color) for points, color in parts]


def _tree(rng: np.random.Generator) -> list[Part]:
    crown = _varied(rng, (30, 92, 66))
    parts: list[Part] = [(np.array([(-0.1, 0.2), (0.1, 0.2), (0.16, 0.98), (-0.16, 0.98)]), (104, 70, 46))]
    for lift, brightness, shrink in ((0.0, 1.0, 1.0), (-0.07, 1.28, 0.72), (-0.14, 1.6, 0.36)):
        color: Color = (int(crown[0] * brightness), int(crown[1] * brightness), int(crown[2] * brightness))
        for x, y, r in ((-0.4, 0.12, 0.42), (0.4, 0.12, 0.42), (-0.22, -0.4, 0.44), (0.24, -0.38, 0.42), (0, 0, 0.5)):
            parts.append((_ellipse(x + lift, y + lift, r * shrink, r * shrink), color))
    return parts


def _stone(rng: np.random.Generator) -> list[Part]:
    turn = np.arange(9) * 2 * np.pi / 9 + rng.uniform(-0.2, 0.2, 9)
    outline = np.stack([np.cos(turn), 0.78 * np.sin(turn)], axis=1) * rng.uniform(0.84, 1.0, (9, 1))
    gray = int(rng.integers(118, 146))
    return [
        (outline, (gray - 34, gray - 36, gray - 26)),
        (outline * 0.86 + (-0.05, -0.09), (gray, gray - 2, gray + 6)),
        (outline * (0.56, 0.42) + (-0.14, -0.26), (gray + 36, gray + 34, gray + 38)),
    ]


RADIUS = {TREE: (17.0, 20.0), STONE: (12.0, 17.0), BUTTERFLY: (15.0, 19.0), TULIP: (15.0, 19.0)}  # px
PAINTERS: dict[int, Callable[[np.random.Generator], list[Part]]] = {
    TREE: _tree,
    STONE: _stone,
    BUTTERFLY: _winged,
    TULIP: _bulb,
}


def _backdrop(band: int, width: int, high: Color, low: Color, light: tuple[float, float, float], glow: Color) -> Bytes:
    """Sky_hW3 from the `high` to the `low` colour, with a glow about the light at (x, y, radius)."""
    x, y, radius = light
    across = np.exp(-(((np.arange(width, dtype=np.float32) - x) / (3 * radius)) ** 2))
    down = np.exp(-(((np.arange(band, dtype=np.float32) - y) / (3 * radius)) ** 2))
    near_hW = np.outer(down, across)
    channels = [
        cv2.convertScaleAbs(np.linspace(top, bottom, band, dtype=np.float32)[:, None] + near_hW * added)
        for top, bottom, added in zip(high, low, glow, strict=True)
    ]
    return np.asarray(cv2.merge(channels), np.uint8)


def _day(rng: np.random.Generator, band: int, width: int) -> Bytes:
    """Sky_hW3 of `band` rows: sun and clouds."""
    x, y, radius = rng.uniform(0.08, 0.92) * width, 0.38 * band, rng.uniform(0.15, 0.2) * band
    image = _backdrop(band, width, (92, 164, 240), (196, 228, 250), (x, y, radius), (90, 60, -40))
    cv2.fillPoly(image, [_fixed(_ellipse(x, y, radius, radius))], (255, 236, 130), cv2.LINE_AA, 4)
    for _ in range(rng.integers(3, 6)):
        place = np.array([rng.uniform(0, width), rng.uniform(0.25, 0.7) * band])
        size = rng.uniform(0.16, 0.24) * band
        for shade, drop in (((226, 236, 248), 0.12), ((255, 255, 255), 0.0)):
            for dx, dy, r in ((-1.3, 0.25, 0.6), (-0.5, -0.15, 0.85), (0.5, -0.05, 0.75), (1.3, 0.28, 0.55)):
                outline = _ellipse(dx, dy + drop, r, 0.62 * r) * size + place
                cv2.fillPoly(image, [_fixed(outline)], shade, cv2.LINE_AA, 4)
    return image


def _night(rng: np.random.Generator, band: int, width: int) -> Bytes:
    """Sky_hW3 of `band` rows: moon and stars."""
    x, y, radius = rng.uniform(0.08, 0.92) * width, 0.42 * band, rng.uniform(0.17, 0.22) * band
    image = _backdrop(band, width, (14, 16, 46), (58, 56, 112), (x, y, radius), (52, 50, 44))
    for star in rng.uniform((0, 0), (width, 0.8 * band), (width // 9, 2)):
        bright = int(rng.integers(130, 256))
        ray = int(rng.integers(13, 36))
        cv2.circle(image, _fixed(star).tolist(), ray, (bright, bright, bright - 20), cv2.FILLED, cv2.LINE_AA, 4)
    turn = np.linspace(-np.pi / 2, np.pi / 2, 20)
    outer, inner = np.stack([np.cos(turn), np.sin(turn)], 1), np.stack([0.35 * np.cos(turn), np.sin(turn)], 1)[::-1]
    moon = _turned(np.concatenate([outer, inner]), rng.uniform(-50, 50)) * radius + (x, y)
    cv2.fillPoly(image, [_fixed(moon)], (250, 242, 206), cv2.LINE_AA, 4)
    return image


SKIES: dict[Sky, Callable[[np.random.Generator, int, int], Bytes]] = {"day": _day, "night": _night}
