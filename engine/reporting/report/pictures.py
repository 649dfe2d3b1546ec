"""Pictures inside the page: bounded in size, and together below what a page may weigh."""

import base64
import io

import numpy as np
from PIL import Image

from engine.reporting.figures import Rgb

MOST_BYTES = 5_000_000  # of a page
TEXT_BYTES = 1_500_000  # of that, kept free for what is no picture
LONGEST_PX, LONGEST_FIGURE_PX = 480, 1600
MOST_PIXELS = 4_000_000  # of a picture that is found in a file
JPEG_QUALITY, FIGURE_COLORS = 82, 128


class PictureBudget:
    """Makes data URIs until they weigh too much; counts what was left out."""

    def __init__(self, most_bytes: int = MOST_BYTES - TEXT_BYTES) -> None:
        self._left = most_bytes
        self.num_left_out = 0

    def photograph(self, pixels_HW3: Rgb) -> str:
        image = _small(pixels_HW3, LONGEST_PX, Image.Resampling.LANCZOS)
        return self._uri(image, "jpeg", quality=JPEG_QUALITY)

    def flat(self, pixels_HW3: Rgb) -> str:
        """Few colours, with sharp borders; they come through exactly."""
        return self._uri(_indexed(_small(pixels_HW3, LONGEST_PX, Image.Resampling.NEAREST)), "png", optimize=True)

    def figure(self, pixels_HW3: Rgb) -> str:
        image = _small(pixels_HW3, LONGEST_FIGURE_PX, Image.Resampling.LANCZOS)
        return self._uri(image.quantize(FIGURE_COLORS, dither=Image.Dither.NONE), "png", optimize=True)

    def _uri(self, image: Image.Image, kind: str, **options: object) -> str:
        file = io.BytesIO()
        image.save(file, kind, **options)
        uri = f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
        if len(uri) > self._left:
            self.num_left_out += 1
            return ""
        self._left -= len(uri)
        return uri


def _indexed(image: Image.Image) -> Image.Image:
    """The same picture with a palette, a third of the bytes; Pillow's own choice of one changes colours a little."""
    pixels_HW3 = np.asarray(image)
    colors_N3, places = np.unique(pixels_HW3.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colors_N3) > 256:
        return image
    indexed = Image.fromarray(places.reshape(pixels_HW3.shape[:2]).astype(np.uint8), "P")
    indexed.putpalette(colors_N3.tobytes())
    return indexed


def _small(pixels_HW3: Rgb, longest_px: int, resampling: Image.Resampling) -> Image.Image:
    image = Image.fromarray(pixels_HW3)
    scale = longest_px / max(image.size)
    if scale >= 1:
        return image
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), resampling)


def decoded(file: bytes) -> Rgb | None:
    """The pixels of a picture that a file of events holds; None where there are none, or too many."""
    try:
        with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            return np.array(image.convert("RGB"))
    except Exception:  # a damaged file may raise anything
        return None
