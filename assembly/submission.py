"""The label maps of a split for an evaluation server: written as they come, packed, and read again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from assembly.trained import TrainedNetwork, where_classes_differ
from configs.errors import FAILED, OK, UserError, cannot_write
from configs.schema import WITH_COCO, Config, DataConfig, EvalConfig
from configs.validation import with_changes
from data.build import open_images
from data.dataset import TEST, FileSet
from data.names import readable
from data.server_files import sizes_by_name, verify
from data.servers import RESULTS, SERVERS, Server, check_images
from engine.process.ranks import ALONE, Ranks
from engine.reporting.score_files import make_output
from engine.runs.files import remove_leftovers, replacing, write_json

MARK = "submission.json"  # in a folder whose `results` and archives are ours: the next submission replaces them
MOST_LISTED = 20  # problems


class Submission:
    """The files of one submission below a folder. What an earlier one left there is removed before the first map."""

    def __init__(self, request: EvalConfig, trained: TrainedNetwork, folder: Path, ranks: Ranks = ALONE) -> None:
        """Raises UserError where the server would not take what this network answers, or the folder is not free.

        Of several ranks the first clears the folder, and all write maps.
        """
        assert request.submission is not None, "no server is named"
        self.server, self.split, self.folder = SERVERS[request.submission], request.split, folder
        _check_network(request.submission, self.server, trained)
        # The server wants all images: a limit counts only if this request sets it, not if the training did.
        data = trained.config.data.model_copy(update={"limit": request.data.limit})
        self.images = _open(self.server, data, self.split)
        check_images(self.server, self.split, sizes_by_name(self.images))
        mark = {"checkpoint": request.checkpoint, "server": request.submission, "split": self.split}
        ranks.of_first(lambda: _begin(folder, mark))

    def describe(self) -> str:
        return "; ".join(filter(None, (f"label maps for {self.server.title}", _reservation(self.images))))

    def write(self, names: Sequence[str], ids_BHW: Tensor) -> None:
        """A file for each image; raises CannotWriteError."""
        for name, ids_HW in zip(names, ids_BHW, strict=True):
            path = self.server.path(name, self.split)
            make_output((self.folder / path).parent)
            with replacing(self.folder / path) as file:
                file.write(self.server.encoded(ids_HW.numpy()))

    def finish(self) -> int:
        """Pack, read everything again, and print what to upload; returns the exit code."""
        paths = [self.server.path(self.images.name(index), self.split) for index in range(len(self.images))]
        with replacing(self.folder / self.server.archive.format(split=self.split)) as file:
            self.server.pack(file, self.folder, paths)
        return _report(self.server, self.images, self.folder)


def verify_files(request: EvalConfig) -> int:
    """Read an archive again, or a folder with one, and print what is wrong with it; returns the exit code."""
    assert request.submission is not None and request.verify is not None, "nothing to verify"
    server = SERVERS[request.submission]
    changes = request.model_dump(exclude_unset=True).get("data", {})
    images = _open(server, with_changes(DataConfig(name=server.data_name), changes, "data"), request.split)
    return _report(server, images, Path(request.verify))


def _open(server: Server, config: DataConfig, split: str) -> FileSet:
    if config.name != server.data_name:
        raise UserError(
            f"data.name={config.name}: the server ({server.title}) takes label maps of its own images; set "
            f"data.name={server.data_name} and data.root=DIR to their folder"
        )
    images = open_images(config, split, needs_labels=False)
    assert isinstance(images, FileSet), "servers score images in files"
    return images


def _check_network(key: str, server: Server, trained: TrainedNetwork) -> None:
    """Raises UserError for a network of other classes, and for one that saw more than comp5 allows."""
    ours, theirs = trained.classes.names, server.classes.names
    if ours != theirs:
        raise UserError(
            f"submission={key}: the server scores {len(theirs)} classes ({', '.join(theirs)}), the network answers "
            f"with {len(ours)} ({', '.join(ours)}): {where_classes_differ(ours, theirs)}; a network that was trained "
            f"on {server.data_name} is required, for example by train.py experiment={server.data_name}"
        )
    others = _more_than_voc(trained.config) if key == "voc_comp5" else []
    if others:
        raise UserError(
            f"submission=voc_comp5: comp5 is for networks that saw VOC's own training data alone, and this one was "
            f"trained with {' and '.join(others)}; set submission=voc, which is comp6"
        )


def _more_than_voc(config: Config) -> list[str]:
    """What a network was trained with beside VOC, as far as its settings tell."""
    split = config.data.train_split
    settings = {
        "what the authors used": config.experiment == "released",
        f"model.pretrained={config.model.pretrained}": config.model.pretrained is not None,
        f"init.checkpoint={config.init.checkpoint}": config.init.checkpoint is not None,
        f"SBD (data.train_split={split})": WITH_COCO.get(split, split) == "train_aug",
        f"COCO (data.train_split={split})": split in WITH_COCO,
    }
    return [setting for setting, is_used in settings.items() if is_used]


def _begin(folder: Path, mark: dict[str, str]) -> None:
    """Remove what an earlier submission left, whatever network it was of. Raises UserError for files of others."""
    make_output(folder)
    archives = [path for server in SERVERS.values() for path in folder.glob(server.archive.format(split="*"))]
    present = [path for path in (folder / RESULTS, *archives) if path.exists() or path.is_symlink()]
    if present and (not (folder / MARK).is_file() or (folder / RESULTS).is_symlink()):
        raise UserError(
            f"output={readable(folder)}: {readable(present[0])} is there, and no submission of ours has left it; set "
            "output to a new folder"
        )
    try:
        remove_leftovers(folder)
        for path in present:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        raise cannot_write(f"output={readable(folder)}", error, "set output elsewhere") from error
    write_json(folder / MARK, mark)


def _report(server: Server, images: FileSet, place: Path) -> int:
    """Print what is wrong with the files for a server, or which to upload; returns the exit code."""
    problems = verify(server, images.split, sizes_by_name(images), place)
    for problem in problems[:MOST_LISTED]:
        print(f"wrong: {problem}")
    if problems:
        more = f" ({len(problems)} problems)" if len(problems) > MOST_LISTED else ""
        print(f"{readable(place)} is not what the server takes: {server.title}{more}")
        return FAILED
    archive = place if place.is_file() else place / server.archive.format(split=images.split)
    print(f"read again and found right: {len(images)} label maps, their names, sizes and ids ({server.title})")
    print(_reservation(images) or f"upload {readable(archive)} at {server.address}")
    return OK


def _reservation(images: FileSet) -> str:
    """Why the server would not take label maps of these images, right as they are; empty if it would."""
    if images.split != TEST:
        return f"split {images.split}: the server scores split={TEST} only"
    if len(images) < images.num_in_split:
        return f"the first {len(images)} of {images.num_in_split} images: the server wants all; leave out data.limit"
    return ""
