"""Files and folders that a config names: whether they are there. None is opened; no problem is an empty list."""

import glob
import os
from pathlib import Path

from configs.keys import did_you_mean
from configs.schema import TORCHVISION_WEIGHTS, WEIGHT_SUFFIXES
from configs.validation import shown


def missing_folder(key: str, folder: str | None, content: str = "the data set") -> list[str]:
    hint = f"set {key}=DIR to the folder of {content}"
    if not folder:
        return [f"{key}={shown(folder)}: a folder is required; {hint}"]
    if not Path(folder).is_dir():
        what = "this is a file" if Path(folder).exists() else "there is no such folder"
        return [f"{key}={folder}: {what}{_in_working_directory(folder)}; {hint}"]
    return []


def unloggable(key: str, folder: str | None) -> list[str]:
    text = os.fsencode(folder or "").decode(errors="backslashreplace")
    if text == (folder or ""):
        return []
    return [
        f"{key}={text}: the folder's name is not UTF-8, and a run writes it into its log and the command that resumes "
        "it; rename the folder, or give a symbolic link to it (names of files in it may be of any kind)"
    ]


def missing_file(key: str, file: str | None) -> list[str]:
    if file is None or Path(file).is_file():
        return []
    what = "this is a folder" if Path(file).is_dir() else "there is no such file"
    return [f"{key}={file}: {what}{_in_working_directory(file)}; correct the path"]


def missing_input(path: str) -> list[str]:
    if not path:
        return ["input=: an image, a video, a folder of them, or a list (.txt) is required; write input=PATH"]
    if not Path(path).exists() and not glob.has_magic(path):
        return [f"input={path}: there is no such file or folder{_in_working_directory(path)}; correct the path"]
    return []


def missing_path(key: str, path: str | None) -> list[str]:
    if path is None or Path(path).exists():
        return []
    return [f"{key}={path}: there is no such file or folder{_in_working_directory(path)}; correct the path"]


def _in_working_directory(path: str) -> str:
    return "" if Path(path).is_absolute() else f" in {Path.cwd()}"


def unknown_weights(pretrained: str | None) -> list[str]:
    if pretrained is None or pretrained in TORCHVISION_WEIGHTS:
        return []
    key = f"model.pretrained={pretrained}"
    options = f"options: {', '.join(TORCHVISION_WEIGHTS)}, null, or a file ({', '.join(WEIGHT_SUFFIXES)})"
    if not Path(pretrained).is_file():
        hint = did_you_mean(pretrained, TORCHVISION_WEIGHTS)
        return [f"{key}: neither known weights nor a file{_in_working_directory(pretrained)}; {hint}{options}"]
    if Path(pretrained).suffix not in WEIGHT_SUFFIXES:
        return [f"{key}: a file of the kind {' or '.join(WEIGHT_SUFFIXES)} is required; {options}"]
    return []
