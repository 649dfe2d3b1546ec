"""What whoever knows Hydra types: every feature, as a command in a shell."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.small_runs import small_run

ROOT = Path(__file__).resolve().parent.parent
TINY = small_run(["frontend", "context"], limit=2, steps=1, crop_px="[192,192]", validate_steps=1)
MINE = """# @package _global_
defaults: [shapes, _self_]
experiment: mine
seed: 7
stages: [frontend, context]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a recipe, a schedule and a primary file of one's own, outside the checkout."""
    files = {
        "experiment/mine.yaml": MINE,
        "context/mine.yaml": "# @package model.context\ndilations: [1, 3]\nwidths: []\nnoise_std: 0.0\n",
        "experiment/placed.yaml": MINE + "hydra: {run: {dir: outs/placed}}\n",
        "study.yaml": "defaults: [train, _self_]\nexperiment: study\nseed: 9\n",
        "data/night.yaml": "train_split: val\nlimit: 1\n",
    }
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / name).write_text(text)
    return tmp_path


def typed(folder: Path, line: str, *words: str, code: int = 0, **environment: str) -> str:
    """What a command prints on stdout; both streams where another exit code is expected."""
    done = subprocess.run(
        [sys.executable, *(f"{ROOT}/{word}" if word.endswith(".py") else word for word in shlex.split(line)), *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def test_a_recipe_of_ones_own_trains_resumes_is_swept_and_is_scored(own: Path) -> None:
    flags = "--config-dir own experiment=mine context=mine"
    printed = typed(own, f"train.py {flags} run.dir=run", *TINY)
    config = json.loads((own / "run" / "config.json").read_text())
    assert (config["experiment"], config["seed"], config["model"]["context"]["dilations"]) == ("mine", 7, [1, 3])
    (resume,) = re.findall(r"^resume: +(.*)$", printed, re.MULTILINE)
    done = subprocess.run(["bash", "-c", resume], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "mean IoU" in done.stdout, done.stdout + done.stderr
    score = typed(own, "eval.py --config-dir own +data=night checkpoint=run/best.pt threads=1 output=scores")
    assert "1 images" in score
    typed(own, f"train.py {flags} -m launcher=joblib seed=1,2 hydra.sweep.dir=swept", *TINY)
    jobs = sorted((own / "swept").glob("seed=*/config.json"))
    assert [json.loads(job.read_text())["seed"] for job in jobs] == [1, 2]
    assert {json.loads(job.read_text())["experiment"] for job in jobs} == {"mine"}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("train.py --cfg job -p seed --config-dir own experiment=mine", "7"),
        ("train.py -c job -p seed -cd own -cn study", "9"),
        (
            "train.py --cfg job -p experiment --config-path own --config-name study hydra.searchpath=[file://CONFIGS]",
            "study",
        ),
        ("train.py -c job -p seed -cp own -cn study 'hydra.searchpath=[file://CONFIGS]'", "9"),
        ("train.py --cfg job -p seed hydra.searchpath=[file://own] experiment=mine", "7"),
        ("train.py --cfg job -p seed hydra.searchpath=[file://own] ++seed=3", "3"),
        ("train.py --cfg job -p data.limit +data.limit=3", "3"),
        ("train.py --cfg job -p model.context context=large ~model.context.widths", "dilations:\n- 1"),
        ("train.py --cfg job -p data.val_split --resolve data.val_split=${data.train_split}", "train"),
        ("train.py --cfg job -p data data.val_split=${data.train_split}", "val_split: ${data.train_split}"),
        ("train.py --cfg job -p run.root --resolve 'run.root=${oc.env:PLACE}/runs'", "/place/runs"),
        ("train.py --cfg hydra -p hydra.run", "dir: ."),
        ("train.py --cfg all --package hydra.sweep", "dir: runs/sweeps"),
        ("train.py --cfg hydra -p hydra.run --config-dir own experiment=placed", "dir: outs/placed"),
        ("train.py --cfg hydra -p hydra.job.env_set hydra.job.env_set.FOO=bar", "FOO: bar"),
    ],
)
def test_a_config_is_composed_and_shown(own: Path, line: str, shown: str) -> None:
    line = line.replace("CONFIGS", str(ROOT / "configs")).replace("file://own", f"file://{own}/own")
    line = line.replace("--config-path own", f"--config-path {own}/own").replace("-cp own", f"-cp {own}/own")
    assert shown in typed(own, line.replace("${", "\\${") if "'" not in line else line, PLACE="/place")


def test_the_folder_of_hydra_is_the_folder_of_the_run_or_of_the_results(own: Path) -> None:
    printed = typed(own, "train.py hydra.run.dir=a/${seed} seed=3 hydra.output_subdir=.hydra", *TINY)
    assert (own / "a" / "3" / "best.pt").is_file() and (own / "a" / "3" / ".hydra" / "overrides.yaml").is_file()
    assert "run.dir=a/3 resume=auto" in printed and "hydra.run.dir=" not in printed.rpartition("resume:")[2]
    typed(own, "analyze.py hydra.run.dir=b")
    assert (own / "b" / "analysis.json").is_file()
    placed = typed(own, "train.py --config-dir own experiment=placed", *TINY)
    (resume,) = re.findall(r"^resume: +(.*)$", placed, re.MULTILINE)
    done = subprocess.run(["bash", "-c", resume], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "== frontend" not in done.stdout, "it goes on in the recipe's folder"
    assert sorted(path.name for path in (own / "outs").iterdir()) == ["placed"]
    assert not (own / "runs").exists() and not (own / "outputs").exists()


def test_a_sweep_keeps_its_folder_whatever_hydra_does_with_the_working_directory(own: Path) -> None:
    (own / "junk.pth").write_bytes(b"junk")
    words = "seed=1,2 hydra.job.chdir=true hydra.sweep.dir=swept model.pretrained=junk.pth"
    printed = typed(own, f"train.py -m {words}", *TINY, code=1)
    assert "done: 0 jobs finished, 2 failed" in printed and "junk.pth" in printed
    assert len(list((own / "swept").glob("seed=*/status.json"))) == 2 and not (own / "swept" / "swept").exists()


def test_hydra_says_what_it_does(own: Path) -> None:
    assert "[hydra._internal.hydra] Hydra 1.3" in "".join(
        subprocess.run([sys.executable, f"{ROOT}/analyze.py", "hydra.verbose=true", "output=x"], cwd=own,
                       capture_output=True, text=True).stderr
    )  # fmt: skip
    assert "== Flags ==" in typed(own, "train.py --hydra-help")
    assert "Hydra 1.3" in typed(own, "train.py --version")
    assert "experiment/shapes" in typed(own, "train.py --info defaults")
    assert "BasicSweeper" in typed(own, "train.py --info plugins")
    assert "eval.py checkpoint=" in typed(own, "eval.py --help")


def test_a_config_is_composed_from_python(own: Path) -> None:
    code = f"""
import train
from hydra import compose, initialize_config_dir
with initialize_config_dir({str(ROOT / "configs")!r}, version_base="1.3"):
    print(compose("train", ["seed=4"]).seed)
"""
    assert typed(own, "-c", code, PYTHONPATH=str(ROOT)) == "4\n"


def test_output_that_nobody_takes_ends_nothing(own: Path) -> None:
    for line in ("--cfg job >&-", "--help >&-", "--help | head -1"):
        command = f"{shlex.quote(sys.executable)} {ROOT}/train.py {line}"
        done = subprocess.run(["bash", "-c", command], cwd=own, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), line


def test_the_shell_completes_keys_and_options(own: Path) -> None:
    assert "hydra_bash_completion" in typed(own, "train.py --shell-completion install=bash")
    for start, completed in (("stage.joint.l", "stage.joint.lr="), ("experiment=camvid_", "experiment=camvid_cpu")):
        line = f"train.py {start}"
        printed = typed(own, "train.py -sc query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
        assert completed in printed.split()


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        ("seed=choice(1,2)", [1, 2]),
        ("seed=range(1,3)", [1, 2]),
        ("hydra.sweeper.params.seed=1,2", [1, 2]),
        ("seed=1,2 hydra.sweeper.max_batch_size=1", [1, 2]),
        ("'+hydra.sweeper.params.seed=\"4,5\"'", [4, 5]),
        ("'seed=${oc.env:FIRST},6'", [5, 6]),
    ],
)
def test_a_sweep_takes_what_hydras_sweepers_take(own: Path, words: str, seeds: list[int]) -> None:
    typed(
        own, f"train.py -m {words} hydra.sweep.dir=swept 'hydra.sweep.subdir=job-${{hydra.job.num}}'", *TINY, FIRST="5"
    )
    configs = [json.loads((own / "swept" / f"job-{number}" / "config.json").read_text()) for number in range(2)]
    assert [config["seed"] for config in configs] == seeds
