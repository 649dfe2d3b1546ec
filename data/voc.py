"""Pascal VOC 2012 and its augmented training split: VOC train and the Semantic Boundaries Dataset without VOC val."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from configs.errors import UserError
from configs.schema import WITH_COCO
from data.dataset import TEST, FileSet, Pair, read_label
from data.faults import OnFault, refuse
from data.files import Shelf, missing, require_files
from data.labels import VOC, VOID, IdDecoder, Labels, id_table
from data.lists import read_names
from data.names import readable
from data.sbd_label import read_sbd

SPLITS = ("train", "trainval", "val", "train_aug", TEST)
LISTS = Path("ImageSets", "Segmentation")
HINT = (
    "data.root must hold VOCdevkit/VOC2012 (or be VOC2012 itself), with JPEGImages, SegmentationClass and "
    "ImageSets/Segmentation; correct it, or set data.download=true to fetch VOC 2012 into it (2 GB)"
)
TEST_HINT = (
    "the test set is a download of its own, images and lists without labels (after registration at "
    "http://host.robots.ox.ac.uk:8080); unpack it into data.root, or choose another split"
)
SBD_HINT = (
    "data.sbd_root must hold benchmark_RELEASE/dataset (or be that folder), with img, cls, train.txt and val.txt; "
    "correct it, or set data.download=true to fetch the Semantic Boundaries Dataset into it (1.4 GB)"
)


def open_voc(root: Path, split: str, sbd_root: Path | None, download: bool, on_fault: OnFault = refuse) -> FileSet:
    """Raises UserError for a missing data set, unless `download` fetches it; missing files are a fault.

    The split test has no labels, unless somebody has put some beside the others.
    """
    if split not in SPLITS:
        raise UserError(
            f"split {split}: VOC 2012 has {', '.join(SPLITS)}, and with COCO {', '.join(WITH_COCO)}; correct "
            "data.train_split, data.val_split or split="
        )
    voc = _located(_voc_folder, root, partial(_download_voc, root) if download else None)
    if voc is None:
        raise missing(root / "VOCdevkit" / "VOC2012" / LISTS, HINT)
    if split == TEST and not (voc / LISTS / f"{TEST}.txt").is_file():
        raise missing(voc / LISTS / f"{TEST}.txt", TEST_HINT)
    pairs = _voc_pairs(voc, "train" if split == "train_aug" else split, on_fault)
    if split == "train_aug":
        exclude = {pair.name for pair in pairs}.union(read_names(voc / LISTS / "val.txt", on_fault))
        pairs += _sbd_pairs(sbd_root, download, exclude, on_fault)
    decoder = IdDecoder(id_table(range(VOC.num_classes), [VOID]), "use the SegmentationClass files as VOC ships them")
    read_label = partial(_read_voc_label, decoder=decoder) if _has_labels(pairs, split) else None
    return FileSet("VOC 2012", split, pairs, VOC, read_label)


def _voc_pairs(voc: Path, split: str, on_fault: OnFault) -> list[Pair]:
    source = voc / LISTS / f"{split}.txt"
    images, labels = (
        Shelf(voc / folder, suffix, on_fault)
        for folder, suffix in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png"))
    )
    pairs = [Pair(name, images.file(name), labels.file(name)) for name in read_names(source, on_fault)]
    return require_files(pairs, source, with_labels=_has_labels(pairs, split), on_fault=on_fault)


def _has_labels(pairs: Sequence[Pair], split: str) -> bool:
    return split != TEST or any(os.path.exists(pair.label) for pair in pairs)


def _sbd_pairs(sbd_root: Path | None, download: bool, exclude: set[str], on_fault: OnFault) -> list[Pair]:
    """All of SBD but the excluded names: VOC's own label wins, and VOC val is never trained on."""
    if sbd_root is None:
        raise UserError(f"data.sbd_root is not set, and split train_aug needs it: {SBD_HINT}")
    sbd = _located(_sbd_folder, sbd_root, partial(_download_sbd, sbd_root) if download else None)
    if sbd is None:
        raise missing(sbd_root / "benchmark_RELEASE" / "dataset" / "cls", SBD_HINT)
    lists = (sbd / "train.txt", sbd / "val.txt")
    names = sorted({name for source in lists for name in read_names(source, on_fault)} - exclude)
    images, labels = Shelf(sbd / "img", ".jpg", on_fault), Shelf(sbd / "cls", ".mat", on_fault)
    pairs = [Pair(name, images.file(name), labels.file(name)) for name in names]
    return require_files(pairs, sbd / "train.txt and val.txt", on_fault=on_fault)


def _located(find: Callable[[Path], Path | None], root: Path, fetch: Callable[[], object] | None) -> Path | None:
    """The folder that `find` returns for the root, fetched before if it is not there; None without `fetch`."""
    folder = find(root)
    if folder is None and fetch is not None:
        root.mkdir(parents=True, exist_ok=True)
        try:
            fetch()
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"data.download=true: fetching into {readable(root)} failed ({error}); network and disk space are "
                "required; try again, or fetch the data set by hand and set data.download=false"
            ) from error
        folder = find(root)
    return folder


def _voc_folder(root: Path) -> Path | None:
    candidates = (root / "VOCdevkit" / "VOC2012", root / "VOC2012", root)
    return next((folder for folder in candidates if (folder / LISTS).is_dir()), None)


def _sbd_folder(root: Path) -> Path | None:
    candidates = (root / "benchmark_RELEASE" / "dataset", root / "dataset", root)
    return next((folder for folder in candidates if (folder / "cls").is_dir()), None)


def _download_voc(root: Path) -> None:
    from torchvision.datasets import VOCSegmentation  # slow to import, and needed here alone

    VOCSegmentation(root, year="2012", image_set="train", download=True)


def _download_sbd(root: Path) -> None:
    from torchvision.datasets import SBDataset

    SBDataset(root, image_set="train", mode="segmentation", download=True)


def _read_voc_label(path: Path, decoder: IdDecoder) -> Labels:
    return decoder(read_sbd(path), path) if path.suffix.lower() == ".mat" else read_label(path, decoder)
