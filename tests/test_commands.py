"""The commands as people type them, on scenes small enough for a test."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from engine.process.stop import Stopped, StopRequest
from engine.runs import checkpoint
from engine.runs.changes import flatten
from tests.helpers.programs import ROOT, run
from tests.helpers.small_runs import small_run

pytestmark = pytest.mark.precision

TINY = small_run(["frontend", "context", "joint"], limit=4, steps=6, crop_px="[64,64]", validate_steps=4)


def run_script(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A program that imports the project, and hears Ctrl-C although shells ignore it in the background."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def weights_of(path: Path) -> dict[str, Any]:
    content = checkpoint.load(path)
    return {**content["model"], **{f"rng.{name}": state for name, state in content["rng"].items()}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run in `run` below a working directory (its copy in `ended` no test changes), and what it printed."""
    folder = tmp_path_factory.mktemp("work")
    done = run(folder, "train.py", *TINY, "run.dir=run")
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "run", folder / "ended")
    return folder, done.stdout


def test_a_run_ends_with_the_table_the_best_checkpoint_and_two_commands(trained: tuple[Path, str]) -> None:
    _, printed = trained
    assert re.search(r"IoU, % +frontend +context +joint", printed)
    assert "context over frontend: " in printed and "identity of the fresh context module" in printed
    assert "first loss" in printed and "ln(9) = 2.197" in printed
    assert "the best checkpoint is run/best.pt" in printed
    assert f"cd {trained[0]} && " in printed
    assert "eval.py checkpoint=run/best.pt" in printed and "run.dir=run resume=auto" in printed


def test_the_summary_says_what_was_promised(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert list(summary["stages"]) == ["frontend", "context", "joint"]
    for result in summary["stages"].values():
        assert 0 <= result["mean_iou"] <= 1 and 0 <= result["pixel_accuracy"] <= 1
        assert len(result["class_iou"]) == 9 and result["steps"] == 6 and result["seconds"] > 0
    assert (folder / summary["best_checkpoint"]).is_file()
    assert summary["identity"].keys() == {"before", "after", "agreement", "class_iou_before"}
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0]
    best = max(result["mean_iou"] for result in summary["stages"].values())
    assert checkpoint.load(folder / "run" / "best.pt")["progress"]["results"] is not None
    assert f"{100 * best:.2f}" in printed


@pytest.mark.parametrize("stage", ["frontend", "joint"])
def test_eval_gives_exactly_the_score_of_the_run(trained: tuple[Path, str], stage: str) -> None:
    folder, _ = trained
    done = run(folder, "eval.py", f"checkpoint=run/{stage}.pt", "threads=1")
    assert done.returncode == 0, done.stderr
    scores = json.loads((folder / "run" / "eval-val" / "scores.json").read_text())
    result = json.loads((folder / "run" / "summary.json").read_text())["stages"][stage]
    assert scores["mean_iou"] == result["mean_iou"]
    assert list(scores["class_iou"].values()) == result["class_iou"]
    assert scores["frequency_weighted_iou"] == result["frequency_weighted_iou"]
    assert scores["num_images"] == 4 and len(scores["confusion"]) == 9
    assert (folder / "run" / "eval-val" / "confusion.png").is_file()


def test_eval_takes_other_protocols_and_another_folder(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    words = ["protocol=tiles", "tile_px=[64,96]", "flip=true", "scales=[1,1.5]", "output=other", "split=train"]
    done = run(folder, "eval.py", "checkpoint=run/best.pt", *words)
    assert done.returncode == 0, done.stderr
    scores = json.loads((folder / "other" / "scores.json").read_text())
    assert scores["protocol"]["tile_px"] == [64, 96] and scores["protocol"]["flip"] is True
    assert scores["split"] == "train"


def test_a_folder_that_holds_a_run_is_not_overwritten(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    before = (folder / "run" / "last.pt").read_bytes()
    done = run(folder, "train.py", *TINY, "run.dir=run")
    assert done.returncode == 2 and "resume=auto" in done.stderr and "Traceback" not in done.stderr
    assert (folder / "run" / "last.pt").read_bytes() == before


def test_resuming_with_other_settings_is_refused_with_the_keys(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    done = run(folder, "train.py", *TINY, "run.dir=run", "resume=auto", "stage.joint.lr=0.5", "seed=3")
    assert done.returncode == 2, done.stdout
    assert "stage.joint.lr: 0.001 then, 0.5 now" in done.stderr and "seed: 0 then, 3 now" in done.stderr


def written_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def start_and_wait_for(folder: Path, file: str, *words: str) -> subprocess.Popen[str]:
    """A training run in a process group of its own, as soon as it has written `file`."""
    path = folder / file
    before = written_at(path)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
    )
    deadline = time.monotonic() + 120
    while written_at(path) == before:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"{file} never came"
        time.sleep(0.02)
    return process


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_the_group_saves_and_the_rest_ends_with_the_same_bits(
    number: signal.Signals, trained: tuple[Path, str], tmp_path: Path
) -> None:
    """Workers get the signal, too; they must not die before the parent has saved."""
    words = [*TINY, "run.dir=run", "runtime.workers=2"]
    process = start_and_wait_for(tmp_path, "run/frontend.pt", *words)
    os.killpg(process.pid, number)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 75, printed
    assert f"{number.name}: saving, then stopping" in printed
    assert "resume with" in printed and "run.dir=run resume=auto" in printed
    done = run(tmp_path, "train.py", *words, "resume=auto")
    assert done.returncode == 0, done.stderr
    ours, theirs = weights_of(tmp_path / "run" / "last.pt"), weights_of(trained[0] / "run" / "last.pt")
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


KEPT = [
    *TINY,
    "stage.context.maps=cached",
    "stage.context.crop_px=[192,192]",
    "stages=[frontend,context]",
    "run.save_steps=1",
]
MOMENTS = {  # what is going on when the signal comes: a function of that moment, and what else is to be done then
    "an image is scored": ("engine.evaluation.evaluate", "answer", "pass"),
    "maps are computed": ("assembly.kept_maps", "frontend_maps_in_blocks", "pass"),
    "another process has the lock": ("assembly.sources", "locked", "hold(arguments[0])"),
}


@pytest.fixture(scope="module")
def trained_on_kept_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    done = run(folder, "train.py", *KEPT, "run.dir=run", "cache.root=cache")
    assert done.returncode == 0, done.stderr
    return folder / "run" / "last.pt"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_between_steps_is_obeyed_soon_and_the_rest_ends_with_the_same_bits(
    moment: str, trained_on_kept_maps: Path, tmp_path: Path
) -> None:
    module, name, deed = MOMENTS[moment]
    words = [*KEPT, "run.dir=run", "cache.root=cache"]
    script = (
        f"import os, signal, sys; import {module}, train; from configs.compose import compose\n"
        "from engine.runs.files import FileLock\n"
        "held, calls = [], []\n"
        "def hold(path):\n    held.append(FileLock(path))\n    assert held[0].acquire()\n"
        f"function = {module}.{name}\n"
        "def interrupted(*arguments, **settings):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 1:\n"
        f"        {deed}\n"
        "        os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    assert len(calls) <= 2, 'work goes on'\n"
        "    return function(*arguments, **settings)\n"
        f"{module}.{name} = interrupted\n"
        f"sys.exit(train.run(compose({words!r})))"
    )
    done = run_script(tmp_path, script)
    assert done.returncode == 75, done.stderr
    assert "SIGUSR1" in done.stdout and "resume with" in done.stdout
    done = run(tmp_path, "train.py", *words, "resume=auto")
    assert done.returncode == 0, done.stderr
    ours, theirs = weights_of(tmp_path / "run" / "last.pt"), weights_of(trained_on_kept_maps)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_ctrl_c_in_a_pipeline_saves_though_its_reader_dies_first(tmp_path: Path) -> None:
    """As under `| tee`: the reader gets the signal, too, and is gone before the run has said a word."""
    process = start_and_wait_for(tmp_path, "run/last.pt", *TINY, "run.dir=run", "run.save_steps=1")
    assert process.stdout is not None
    process.stdout.close()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 75
    assert checkpoint.load(tmp_path / "run" / "last.pt")["progress"]["stage"]
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "SIGINT: saving, then stopping" in log and "resume with" in log


def test_a_stop_before_anything_is_trained_leaves_nothing_and_ends_like_any_other(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; import data.build, train; from configs.compose import compose\n"
        "opened = data.build.open_images\n"
        "def interrupted(config, split):\n"
        "    if split == 'val':\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return opened(config, split)\n"
        "data.build.open_images = interrupted\n"
        f"sys.exit(train.run(compose({[*TINY, 'run.root=runs']!r})))"
    )
    done = run_script(tmp_path, script)
    assert done.returncode == 75, done.stderr
    assert "stopped by SIGINT" in done.stdout and list((tmp_path / "runs").iterdir()) == []


def test_a_failed_start_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"none")
    done = run(tmp_path, "train.py", *TINY, "model.pretrained=weights.pth")
    assert done.returncode == 2 and "weights.pth" in done.stderr
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_printed_commands_work_from_any_folder(trained: tuple[Path, str], tmp_path: Path) -> None:
    """They were printed by a run outside the project's folder, with relative paths."""
    printed = trained[1]
    for title, words in (("evaluate", " threads=1"), ("resume", "")):
        (line,) = re.findall(rf"^{title}: +(.*)$", printed, re.MULTILINE)
        done = subprocess.run(["bash", "-c", line + words], cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert "mean IoU" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_more_maps_than_the_cache_takes_and_cut_images_are_refused_before_any_training(tmp_path: Path) -> None:
    cached = [*TINY, "stage.context.maps=cached", "cache.root=cache"]
    for words, reason in (
        (["stage.context.crop_px=[192,192]", "cache.max_gb=1e-5"], r"cache\.max_gb=1e-05: the maps need \S+ GB"),
        (["stage.context.crop_px=[192,128]"], "image of 192x192 is larger than stage.context.crop_px"),
    ):
        done = run(tmp_path, "train.py", *cached, *words)
        assert done.returncode == 2 and re.search(reason, done.stderr), done.stderr
        assert "== frontend" not in done.stdout and list((tmp_path / "runs").iterdir()) == []


def test_labels_of_other_classes_are_not_scored(trained: tuple[Path, str], tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / "val" / kind).mkdir(parents=True)
        Image.new("RGB" if kind == "images" else "L", (16, 16)).save(tmp_path / "val" / kind / "a.png")
    names = ["day sky", "night sky", "meadow"]
    words = ["data.name=folder", f"data.root={tmp_path}", f"data.folder.class_names={names}".replace("'", '"')]
    done = run(trained[0], "eval.py", "checkpoint=run/best.pt", *words)
    assert done.returncode == 2 and "answers with 9 classes (day sky," in done.stderr, done.stderr
    assert "have 3 (day sky, night sky, meadow): one has more" in done.stderr


def test_a_place_that_would_be_ignored_is_refused(trained: tuple[Path, str], tmp_path: Path) -> None:
    done = run(trained[0], "eval.py", "checkpoint=run/best.pt", f"data.root={tmp_path}")
    assert done.returncode == 2 and "the built-in scenes (data=shapes) lie in no folder" in done.stderr


def test_ctrl_c_while_modules_are_imported_leaves_no_traceback(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, train; from assembly.command import Command; from configs.schema import Config\n"
        "def run(config):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    import torch\n    return 0\n"
        "train.COMMAND = Command(Config, run)\n"
        "sys.argv[1:] = ['run.dir=x']; sys.exit(train.COMMAND.start(train.main))"
    )
    done = run_script(tmp_path, script)
    assert done.returncode == -signal.SIGINT and done.stderr == ""


def test_a_signal_to_a_run_that_ends_leaves_it_its_exit_code() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)  # within a second: the same wish
        with pytest.raises(Stopped, match="SIGUSR1"):
            stop.check()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def test_kill_9_loses_at_most_one_interval(trained: tuple[Path, str], tmp_path: Path) -> None:
    words = [*TINY, "run.dir=run", "run.save_steps=1"]
    process = start_and_wait_for(tmp_path, "run/last.pt", *words)
    reached = 0
    for pause_s in (0.01, 0.03, 0.05):  # a step and its save take about as long: the kills fall into saves, too
        time.sleep(pause_s)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        progress = checkpoint.load(tmp_path / "run" / "last.pt")["progress"]
        now = progress["first_step_of_stage"] + progress["step"]
        assert now >= reached  # what was saved once is never lost
        reached = now
        process = start_and_wait_for(tmp_path, "run/last.pt", *words, "resume=auto")
    assert process.wait(timeout=240) == 0, process.communicate()[0]
    ours, theirs = weights_of(tmp_path / "run" / "last.pt"), weights_of(trained[0] / "run" / "last.pt")
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_a_damaged_checkpoint_ends_with_3_and_a_missing_one_with_2(trained: tuple[Path, str], tmp_path: Path) -> None:
    whole = (trained[0] / "run" / "best.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    damaged = run(tmp_path, "eval.py", "checkpoint=half.pt")
    assert damaged.returncode == 3 and "half.pt" in damaged.stderr and "Traceback" not in damaged.stderr
    assert "copy it from where it is whole, or give another checkpoint of its run" in damaged.stderr
    missing = run(tmp_path, "eval.py", "checkpoint=nowhere.pt")
    assert missing.returncode == 2 and "nowhere.pt" in missing.stderr


def test_stages_alone_from_a_checkpoint_give_the_bits_of_the_whole_run(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    start = f"init.checkpoint={trained[0] / 'run' / 'frontend.pt'}"
    done = run(tmp_path, "train.py", *TINY, "run.dir=run", "stages=[context,joint]", start)
    assert done.returncode == 0, done.stderr
    ours, theirs = weights_of(tmp_path / "run" / "last.pt"), weights_of(trained[0] / "run" / "last.pt")
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_tensorboard_has_what_the_context_module_hears_and_a_row_of_hparams(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    summary = json.loads((folder / "ended" / "summary.json").read_text())
    events = EventAccumulator(str(folder / "ended"), size_guidance={"scalars": 0})
    events.Reload()
    context = summary["stages"]["context"]
    assert events.Scalars("hparam/context_mean_iou")[-1].value == pytest.approx(context["mean_iou"])
    assert len(events.Scalars("field/effective_cells")) == 4  # two validations of two stages
    shares = [event.value for event in events.Scalars("field/share_of_computed")]
    assert all(0 < share <= 1 for share in shares)
    assert {"gridding/period_2", "gridding/period_8"} <= set(events.Tags()["scalars"])
    assert "field/effective" in events.Tags()["images"]
    assert re.search(r"context step 6: as many cells matter as a .*field is 67 x 67 cells; gridding .* at 2,", printed)


def test_tensorboard_holds_at_their_steps_the_scores_of_the_log_the_settings_and_pictures(
    trained: tuple[Path, str],
) -> None:
    folder, printed = trained
    events = EventAccumulator(str(folder / "ended"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    logged = re.findall(r"step \d: mean IoU ([\d.]+) % over .* accuracy ([\d.]+) %", printed)
    steps = [4, 6, 10, 12, 16, 18]  # of the run; each of three stages validates at its steps 4 and 6
    for tag, scores in zip(("mean_iou", "pixel_accuracy"), zip(*logged, strict=True), strict=True):
        points = events.Scalars(f"validation/{tag}")
        assert [point.step for point in points] == steps
        assert [f"{100 * point.value:.2f}" for point in points] == list(scores)
    summary = json.loads((folder / "ended" / "summary.json").read_text())
    joint = summary["stages"]["joint"]
    for name, iou in zip(summary["classes"], joint["class_iou"], strict=True):
        ious = {point.step: point.value for point in events.Scalars(f"iou/{name}")} if iou is not None else {}
        assert ious.get(12 + joint["best_step"]) == (None if iou is None else pytest.approx(iou, rel=1e-6))
    for stage, last_step in (("frontend", 6), ("context", 12), ("joint", 18)):
        values = {name: events.Scalars(f"{stage}/{name}")[-1] for name in ("loss", "lr", "gradient_norm")}
        assert {point.step for point in values.values()} == {last_step} and values["lr"].value > 0
    steps_of = {"field/effective": steps[2:], "frontend/first_batch": [1], "context/first_batch": [7]}
    steps_of["joint/first_batch"] = [13]
    assert steps_of.keys() < {*events.Tags()["images"]}
    for tag in events.Tags()["images"]:
        assert [event.step for event in events.Images(tag)] == steps_of.get(tag, steps)
        for event in events.Images(tag):
            assert Image.open(io.BytesIO(event.encoded_image_string)).size == (event.width, event.height)
    (text,) = events.Tensors("config/text_summary")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert {"    stage.joint.steps=6", '    stages=["frontend","context","joint"]', "    data.root=null"} <= {*lines}
    config = json.loads((folder / "ended" / "config.json").read_text())
    assert [line.strip().partition("=")[0] for line in lines] == list(flatten(config))


def test_a_run_is_one_session_in_tensorboard_s_table_of_runs(trained: tuple[Path, str]) -> None:
    tags = [
        value.tag
        for path in (trained[0] / "ended").glob("events*")
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]
    assert tags.count("_hparams_/session_start_info") == tags.count("_hparams_/session_end_info") == 1


def test_training_and_scoring_start_without_torch_s_compiler(tmp_path: Path) -> None:
    """It takes two seconds to import, and torch's optimizers do so unless they are asked not to."""
    run_dir = tmp_path / "run"
    words = {"train.py": ["debug=one_step", f"run.dir={run_dir}"], "eval.py": [f"checkpoint={run_dir / 'best.pt'}"]}
    for program, given in words.items():
        script = (
            f"import runpy, sys; sys.argv = {[program, *given]!r}\n"
            f"try: runpy.run_path({str(ROOT / program)!r}, run_name='__main__')\n"
            "except SystemExit as end: assert not end.code\n"
            "print(sorted({'torch._dynamo', 'sympy'} & sys.modules.keys()))"
        )
        done = run_script(tmp_path, script)
        assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
