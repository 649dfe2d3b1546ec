"""Maps of frozen blocks on disk: whole images of any size, and crops that are cut from them cell by cell."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.errors import UserError
from configs.schema import VOID, AugmentConfig, CacheConfig
from data.balance import ClassBalance
from data.block_maps import BlockMaps, ImageBlockMaps, Layout, open_block_maps
from data.loaders import shuffled_keys
from data.transforms import is_mirrored
from data.versions import Versions
from tests.data.test_features import waiting

STRIDE, CHANNELS = 8, 3
MIRRORED, UNMIRRORED = (Versions(0, AugmentConfig(mirror=mirror), "pixels") for mirror in (True, False))
SIZES = [(4, 6), (5, 3), (2, 2)]  # rows and columns of cells


def layout(margin_cells: int = 0, versions: int = 2, dtype: torch.dtype = torch.float32) -> Layout:
    return Layout(np.array(SIZES), margin_cells, CHANNELS, STRIDE, blocks=4, versions=versions, dtype=dtype)


def image_maps(number: int, plan: Layout) -> ImageBlockMaps:
    """Every cell holds its image, version, row and column (margin not counted); every pixel the number of its cell."""
    rows, columns = SIZES[number]
    inner = torch.arange(rows * columns).view(rows, columns)
    margin = plan.margin_cells
    maps, labels = [], []
    for version in range(plan.versions):
        row, column = torch.meshgrid(
            torch.arange(-margin, rows + margin), torch.arange(-margin, columns + margin), indexing="ij"
        )
        maps.append(torch.stack([torch.full_like(row, 10 * number + version), row, column], dim=-1).float())
        labels.append((inner + 100 * version).to(torch.uint8).repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1))
    return ImageBlockMaps(torch.stack(maps), torch.stack(labels))


def opened(root: Path, plan: Layout, said: list[str] | None = None, max_gb: float = 1.0) -> BlockMaps:
    config = CacheConfig(root=str(root), max_gb=max_gb)
    log = said.append if said is not None else lambda line: None
    identity = {"margin": plan.margin_cells, "versions": plan.versions, "dtype": str(plan.dtype)}
    compute = lambda: (image_maps(number, plan) for number in range(len(SIZES)))  # noqa: E731
    return open_block_maps(config, identity, compute, plan, log, waiting)


def drawn(
    maps: BlockMaps,
    crop_px: list[int],
    num: int = 200,
    versions: Versions = MIRRORED,
    balance: ClassBalance | None = None,
) -> Iterator[Any]:
    names = [str(number) for number in range(len(SIZES))]
    arguments: dict[str, Any] = {"micro_batch": 1, "first": 0, "last": num, "seed": 3}
    batches = maps.batches(names, crop_px=crop_px, versions=versions, balance=balance, **arguments)
    keys = [key for (key,) in shuffled_keys(len(names), **arguments)]
    return zip(keys, batches, strict=True)


@pytest.mark.parametrize("versions", [1, 2])
@pytest.mark.parametrize("margin_cells", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_what_was_computed_is_read_bit_for_bit_and_computed_once(
    tmp_path: Path, versions: int, margin_cells: int, dtype: torch.dtype
) -> None:
    plan, said = layout(margin_cells, versions, dtype), list[str]()
    opened(tmp_path, plan, said)
    maps = opened(tmp_path, plan, said)
    assert "computed" in said[0] and "read from" in said[1] and "first 4 blocks" in said[0]
    for number in range(len(SIZES)):
        whole = image_maps(number, plan)
        for version in range(versions):
            maps_hwC, label_HW = maps.of_image(number, version)
            assert np.array_equal(label_HW, whole.labels_MHW[version].numpy())
            kept = torch.from_numpy(np.array(maps_hwC))
            kept = kept.view(torch.bfloat16) if dtype == torch.bfloat16 else kept
            assert torch.equal(kept, whole.maps_MhwC[version].to(dtype))
    written = sum(path.stat().st_size for path in tmp_path.glob("maps-*/*.bin"))
    assert written == plan.num_bytes


@pytest.mark.parametrize("margin_cells", [0, 3])
def test_a_crop_holds_the_labels_of_its_cells_at_any_place(tmp_path: Path, margin_cells: int) -> None:
    """A crop that is no whole number of cells ends within its last cell."""
    maps, places = opened(tmp_path, layout(margin_cells)), Counter[tuple[int, ...]]()
    for (epoch, index), batch in drawn(maps, [16, 20]):
        (maps_Chw,), (label_HW,) = batch.maps_BChw, batch.labels_BHW
        assert maps_Chw.shape == (CHANNELS, 2 + 2 * margin_cells, 3 + 2 * margin_cells) and label_HW.shape == (16, 20)
        assert batch.names == [str(index)] and batch.after_blocks == 4
        image, top, left = (int(value) for value in maps_Chw[:, margin_cells, margin_cells])
        version = int(is_mirrored((3, epoch, index)))
        assert image == 10 * index + version
        places[index, top, left] += 1
        for row in range(2):
            for column in range(min(3, SIZES[index][1] - left)):
                cell = (top + row) * SIZES[index][1] + left + column + 100 * version
                part = label_HW[STRIDE * row : STRIDE * (row + 1), STRIDE * column : STRIDE * (column + 1)]
                assert bool((part == cell).all())
    assert len([place for place in places if place[0] == 0]) == 3 * 4  # everywhere in the first image
    assert len([place for place in places if place[0] == 1]) == 4


def test_an_image_smaller_than_the_crop_is_completed_by_void(tmp_path: Path) -> None:
    maps = opened(tmp_path, layout(1))
    small = [batch for (_, index), batch in drawn(maps, [24, 24], num=20) if index == 2]
    for batch in small:
        assert batch.maps_BChw.shape == (1, CHANNELS, 5, 5)
        assert not batch.maps_BChw[..., 4:, :].any() and not batch.maps_BChw[..., 4:].any()
        assert bool((batch.labels_BHW[:, 16:] == VOID).all()) and bool((batch.labels_BHW[..., 16:] == VOID).all())
        assert not bool((batch.labels_BHW[:, :16, :16] == VOID).any())
    assert small


def test_without_mirroring_nothing_is_mirrored(tmp_path: Path) -> None:
    assert all(
        int(batch.maps_BChw[0, 0, 0, 0]) % 10 == 0
        for _, batch in drawn(opened(tmp_path, layout()), [8, 8], 40, UNMIRRORED)
    )


def test_all_versions_that_were_drawn_are_equally_likely_and_stay_as_they_are(tmp_path: Path) -> None:
    versions = Versions(3, AugmentConfig(mirror=True), "pixels")
    seen = Counter(
        (index, int(batch.maps_BChw[0, 0, 0, 0]) % 10)
        for (_, index), batch in drawn(opened(tmp_path, layout(versions=3)), [8, 8], 900, versions)
    )
    assert len(seen) == 9 and all(70 <= count <= 130 for count in seen.values())  # 100 each, deviation 8


def test_values_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    plan = layout(dtype=torch.float16)
    large = ImageBlockMaps(torch.full((2, 4, 6, CHANNELS), 1e5), torch.zeros(2, 32, 48, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"cache\.precision=float16: maps with values up to 1e\+05 do not fit"):
        open_block_maps(CacheConfig(root=str(tmp_path)), {}, lambda: [large], plan, print, waiting)


def test_more_than_the_cache_may_take_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cache\.max_gb=1e-06.*set maps=computed in the stages that keep them"):
        opened(tmp_path, layout(), max_gb=1e-6)
    assert not list(tmp_path.glob("maps-*/*.bin"))


@pytest.mark.parametrize(("size_px", "margin_cells"), [([16, 16], 0), ([8, 16], 3), ([16, 20], 0), ([48, 48], 1)])
def test_a_balanced_crop_holds_a_pixel_of_its_class_wherever_that_lies(
    tmp_path: Path, size_px: list[int], margin_cells: int
) -> None:
    """Every cell of an image is a class: cell k of class k, which images 1 and 2 have only up to 14 and 3."""
    maps = opened(tmp_path, layout(margin_cells, versions=1))
    counts_NC = np.array([[64 * (k < rows * columns) for k in range(24)] for rows, columns in SIZES])
    balance, share = ClassBalance(0.5, counts_NC), 0.5
    choices = Counter[int | None]()
    for key, batch in drawn(maps, size_px, 600, UNMIRRORED, balance=balance):
        choice = balance.choose((3, *key))
        choices[choice.anchor_class] += 1
        assert batch.names == [str(choice.image)]
        assert choice.anchor_class is None or bool((batch.labels_BHW == choice.anchor_class).any())
    assert len(choices) == 1 + 24 and abs(choices[None] / 600 - share) < 0.1


def test_samples_outside_the_balanced_share_are_as_without_it(tmp_path: Path) -> None:
    maps = opened(tmp_path, layout(versions=1))
    balance = ClassBalance(0.5, np.full((3, 4), 1))
    plain, balanced = (list(drawn(maps, [16, 16], 60, UNMIRRORED, balance=chosen)) for chosen in (None, balance))
    same = [
        torch.equal(one.maps_BChw, other.maps_BChw)
        for (key, one), (_, other) in zip(plain, balanced, strict=True)
        if balance.choose((3, *key)).anchor_class is None
    ]
    assert len(same) > 15 and all(same)


def test_every_place_that_holds_the_anchor_is_drawn(tmp_path: Path) -> None:
    """Class 9 is the cell in row 1, column 3 of the first image: a crop of 2x3 cells begins in 2 rows, 3 columns."""
    maps, places = opened(tmp_path, layout(versions=1)), Counter[tuple[int, int]]()
    counts_NC = np.zeros((3, 24), np.int64)
    counts_NC[0, 9] = 64
    for _, batch in drawn(maps, [16, 24], 900, UNMIRRORED, balance=ClassBalance(1.0, counts_NC)):
        _, top, left = (int(value) for value in batch.maps_BChw[0, :, 0, 0])
        places[top, left] += 1
    assert sorted(places) == [(top, left) for top in (0, 1) for left in (1, 2, 3)]
    assert all(100 < number < 200 for number in places.values())  # 150 expected, standard deviation 11
