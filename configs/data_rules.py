"""Rules of the data section: places that must be there, keys that only some data sets have."""

from pathlib import Path

from configs.paths import missing_folder, unloggable
from configs.schema import WITH_COCO, DataConfig, ResizeConfig
from configs.validation import shown


def data_problems(data: DataConfig) -> list[str]:
    problems, name, is_voc = [], data.name, data.name == "voc"
    if data.download and not is_voc:
        problems.append(
            f"data.download=true: only voc can be downloaded; set it to false and data.root to the files of {name}"
        )
    problems += scenes_problems(data)
    if data.name != "shapes" and not (is_voc and data.download):
        problems += missing_folder("data.root", data.root, f"the {name} data set") + unloggable("data.root", data.root)
    if is_voc:
        problems += _voc(data)
    if data.name == "folder" and not data.folder.class_names:
        problems.append(
            "data.folder.class_names=[]: the classes of your labels are required, in the order of their ids; "
            "for example data.folder.class_names=[road,house,tree]"
        )
    for set_name, part in data.folder.sets.items() if data.name == "folder" and data.root else ():
        key, root = f"data.folder.sets.{set_name}.root", str(Path(data.root or "", part.root))
        problems += missing_folder(key, root, "this set") + unloggable(key, root)
    problems += split_problems(data) + resize_problems("data.resize", data.resize)
    augment = data.augment
    if augment.scale_min > augment.scale_max:
        problems.append(
            f"data.augment.scale_min={shown(augment.scale_min)}: at most "
            f"data.augment.scale_max={shown(augment.scale_max)} is required"
        )
    return problems


def _voc(data: DataConfig) -> list[str]:
    """Of the sets that some splits take beside VOC's own files."""
    problems, splits = [], (data.train_split, data.val_split)
    if "train_aug" in [WITH_COCO.get(split, split) for split in splits] and not (data.download and data.sbd_root):
        problems += missing_folder("data.sbd_root", data.sbd_root, "the Semantic Boundaries Dataset")
        problems += unloggable("data.sbd_root", data.sbd_root)
    if not any(split in WITH_COCO for split in splits):
        return problems
    problems += missing_folder("data.coco_root", data.coco_root, "COCO") + unloggable("data.coco_root", data.coco_root)
    years = {split[-4:] for split in data.coco_splits}
    if len(years) > 1 or len({*data.coco_splits}) < len(data.coco_splits):
        problems.append(
            f"data.coco_splits={shown(data.coco_splits)}: splits of one year, each once, are required, because both "
            "years have the same images; write [train2014,val2014] or [train2017,val2017]"
        )
    return problems


def split_problems(data: DataConfig) -> list[str]:
    """What keeps groups from being held out; empty if nothing does."""
    if not data.hold_out:
        return []
    key, is_folder = f"data.hold_out={shown(data.hold_out)}", data.name == "folder"
    if is_folder and data.folder.val_share:
        return [
            f"{key}: data.folder.val_share={shown(data.folder.val_share)} takes another validation split from "
            f"{data.train_split}; there is one; set data.folder.val_share=0, or leave hold_out out"
        ]
    if is_folder and not data.folder.group:
        return [
            f"{key}: it is not known which image is of which group; set data.folder.group to a regular expression "
            "whose parentheses hold the group in an image's name, for example 'data.folder.group=^([^_]+)_'"
        ]
    if not is_folder and data.name != "camvid":
        return [
            f"{key}: the images of {data.name} have no groups; those of camvid have, its drives, and with "
            "data.folder.group one's own; set data.hold_out=[], or use data=camvid or data=folder"
        ]
    return []


def resize_problems(key: str, resize: ResizeConfig) -> list[str]:
    chosen = resize.model_dump(exclude_none=True)
    if len(chosen) < 2:
        return []
    listing = " and ".join(f"{key}.{name}={shown(value)}" for name, value in chosen.items())
    return [f"{listing}: an image has one size; set all but one of long_px, short_px and factor to null"]


def scenes_problems(data: DataConfig) -> list[str]:
    """The built-in scenes are drawn: a place that is named for them would be ignored."""
    if data.name != "shapes" or data.root is None:
        return []
    return [
        f"data.root={data.root}: the built-in scenes (data=shapes) lie in no folder; say which data set this is, for "
        "example experiment=camvid or data=folder (of eval.py: data.name=camvid or data.name=folder)"
    ]
