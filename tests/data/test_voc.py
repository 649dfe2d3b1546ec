"""Pascal VOC, and its training split augmented by the Semantic Boundaries Dataset."""

import hashlib
import os
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from configs.errors import DamagedFileError
from configs.schema import DataConfig
from data.build import open_images
from data.labels import VOID
from tests.helpers.data_sets import write_label, write_sbd, write_voc, write_voc_test


def test_voc_root_may_be_the_folder_itself(tmp_path: Path) -> None:
    config = write_voc(tmp_path)
    config = config.model_copy(update={"root": str(tmp_path / "VOCdevkit" / "VOC2012")})
    assert len(open_images(config, "trainval")) == 4


def test_train_aug_is_voc_train_and_sbd_without_voc_val_and_voc_labels_win(tmp_path: Path) -> None:
    config = write_voc(tmp_path / "voc")
    root = write_sbd(tmp_path / "sbd")
    for sbd_root in (root, root / "benchmark_RELEASE", root / "benchmark_RELEASE" / "dataset"):
        config = config.model_copy(update={"sbd_root": str(sbd_root)})
        images = open_images(config, "train_aug")
        assert [images.name(index) for index in range(len(images))] == ["b", "a", "s", "t"]
        assert [int(images.read(index)[1].max()) for index in range(4)] == [15, 15, 3, 3]


def test_train_aug_without_sbd_names_the_missing_key(tmp_path: Path) -> None:
    config = write_voc(tmp_path)
    with pytest.raises(ValueError, match=r"data\.sbd_root is not set"):
        open_images(config, "train_aug")
    config = config.model_copy(update={"sbd_root": "/nowhere"})
    with pytest.raises(ValueError, match=r"/nowhere.*data\.sbd_root must hold"):
        open_images(config, "train_aug")


def test_a_damaged_sbd_label_is_named(tmp_path: Path) -> None:
    config = write_voc(tmp_path / "voc")
    config = config.model_copy(update={"sbd_root": str(write_sbd(tmp_path / "sbd"))})
    label = tmp_path / "sbd" / "benchmark_RELEASE" / "dataset" / "cls" / "s.mat"
    for content in (b"", b"no matlab", label.read_bytes()[:200]):
        label.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"s\.mat: not a label of SBD"):
            open_images(config, "train_aug").read(2)


def test_a_pipe_is_no_sbd_label(tmp_path: Path) -> None:
    config = write_voc(tmp_path / "voc").model_copy(update={"sbd_root": str(write_sbd(tmp_path / "sbd"))})
    label = tmp_path / "sbd" / "benchmark_RELEASE" / "dataset" / "cls" / "s.mat"
    label.unlink()
    os.mkfifo(label)  # nobody writes into it: to open it would be to wait for ever
    with pytest.raises(DamagedFileError, match=r"s\.mat: not a label of SBD .*a pipe or a device"):
        open_images(config, "train_aug").read(2)


def test_download_fetches_voc_once_and_only_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    write_voc(tmp_path / "server")
    archive = tmp_path / "voc.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "server" / "VOCdevkit", "VOCdevkit")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(DATASET_YEAR_DICT["2012"], "url", f"http://127.0.0.1:{server.server_port}/voc.tar")
    monkeypatch.setitem(DATASET_YEAR_DICT["2012"], "md5", hashlib.md5(archive.read_bytes()).hexdigest())
    config = DataConfig(name="voc", root=str(tmp_path / "new" / "voc"), download=True)
    assert len(open_images(config, "train")) == 2
    server.shutdown()
    server.server_close()
    assert len(open_images(config, "val")) == 2
    config = config.model_copy(update={"root": str(tmp_path / "other")})
    with pytest.raises(ValueError, match=r"data\.download=true: fetching into .*other failed"):
        open_images(config, "train")


def test_the_test_set_has_images_alone_and_is_read_as_void(tmp_path: Path) -> None:
    images = open_images(write_voc_test(tmp_path), "test", needs_labels=False)
    assert not images.has_labels and images.describe() == "VOC 2012, test: 2 images, without labels"
    image_HW3, label_HW = images.read(1)
    assert image_HW3.shape == (17, 24, 3) and label_HW.shape == (17, 24) and (label_HW == VOID).all()


def test_a_score_on_the_test_set_is_refused_with_the_command_for_the_server(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"without labels: .*eval\.py submission=voc split=test"):
        open_images(write_voc_test(tmp_path), "test")


def test_the_test_set_missing_beside_the_training_set_is_said_to_be_another_download(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no .*test\.txt; .*a download of its own"):
        open_images(write_voc(tmp_path), "test", needs_labels=False)


def test_labels_beside_the_test_images_are_read_and_must_be_complete(tmp_path: Path) -> None:
    config = write_voc_test(tmp_path)
    labels = tmp_path / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    write_label(labels / "2008_000001.png", np.full((16, 24), 7, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"labels of 1 of 2 samples are missing"):
        open_images(config, "test")
    write_label(labels / "2008_000002.png", np.full((17, 24), 8, dtype=np.uint8))
    assert [int(open_images(config, "test").read(index)[1].min()) for index in (0, 1)] == [7, 8]
