"""An entry point, started by the shell: single runs, sweeps, and what they leave."""

import importlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import analyze
import train
from assembly.command import Command
from configs.files import FOLDER
from configs.schema import AnalyzeConfig, AuditConfig, Config, EvalConfig, PredictConfig, ReportConfig

PROGRAM = """
import sys
import hydra
import analyze
import train
from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.files import FOLDER
from configs.schema import AnalyzeConfig, Config, EvalConfig, PredictConfig
from engine.sweeps.sweep import JobResult
{body}

@hydra.main(version_base=HYDRA_VERSION, config_path=str(FOLDER), config_name="{name}")
def main(composition):
    return COMMAND.task(composition)

sys.exit(COMMAND.start(main))
"""
RUN = """
def run(config):
    has_torch = "torch" in sys.modules
    print("ran", config.experiment, config.seed, config.model.context.dilations, config.run.root, has_torch)
    return config.seed

COMMAND = Command(Config, run)
"""
WITH_JOB = """
def job(words, folder, stops):
    print("job", folder, *words)
    return JobResult(0, 0.5)

COMMAND = Command(Config, lambda config: 1, job)
"""
RESULTS = """
from {name} import results

def run(request):
    print("to", results(request))
    return 0

COMMAND = Command({kind}, run, results=results)
"""


def run_program(
    folder: Path, *words: str, body: str = RUN, name: str = "train", project: Path = FOLDER.parent
) -> subprocess.CompletedProcess[str]:
    """An entry point as the shell starts it, in an empty folder."""
    (folder / "program.py").write_text(PROGRAM.format(body=body, name=name))
    command = [sys.executable, "program.py", *words]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(project)}, capture_output=True, text=True, timeout=60
    )


def test_refusal_from_the_shell_has_exit_code_2_and_no_traceback(tmp_path: Path) -> None:
    result = run_program(tmp_path, "experiment=camvid", "data.root=/nowhere", "model.contxt=1", "stage.joint.lr=abc")
    assert result.returncode == 2
    assert result.stdout == "" and "Traceback" not in result.stderr
    for word in ("/nowhere", "contxt", "abc"):
        assert word in result.stderr


def test_a_run_gets_its_config_and_gives_its_exit_code_and_leaves_no_litter(tmp_path: Path) -> None:
    result = run_program(tmp_path, "seed=7", "model.context.dilations=[1,2]")
    assert (result.returncode, result.stdout) == (7, "ran shapes 7 [1, 2] runs False\n"), result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_sweep_over_lists_runs_every_one_although_one_fails(tmp_path: Path) -> None:
    result = run_program(tmp_path, "model.context.dilations=[1,1,2],[1,2]", "seed=3", "-m")
    assert result.returncode == 1 and result.stderr == ""
    assert [line for line in result.stdout.splitlines() if line.startswith("ran")] == [
        "ran shapes 3 [1, 1, 2] runs False",
        "ran shapes 3 [1, 2] runs False",
    ]
    assert [path.name for path in (tmp_path / "runs" / "sweeps").iterdir()] == ["multirun.yaml"]


def jobs_of(result: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Folder and settings of every job of a sweep."""
    assert result.returncode == 0, result.stdout + result.stderr
    return [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("job")]


def test_the_folder_of_a_sweep_is_run_root_or_hydras_name_for_it(tmp_path: Path) -> None:
    words = ["-m", "seed=1,2", "model.padding=zero"]
    given = [
        jobs_of(run_program(tmp_path, *words, folder, body=WITH_JOB))
        for folder in ("run.root=a", "hydra.sweep.dir=b", "hydra.sweep.dir=${now:c}")
    ]
    for folder, jobs in zip("abc", given, strict=True):
        assert [Path(job[0]).parent.as_posix() for job in jobs] == [folder, folder]
        assert [Path(job[0]).name for job in jobs] == [Path(job[0]).name for job in given[0]]
        assert [job[1:] for job in jobs] == [["model.padding=zero", "seed=1"], ["model.padding=zero", "seed=2"]]
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["multirun.yaml"]
    assert not (tmp_path / "runs").exists()
    both = jobs_of(run_program(tmp_path, *words, "run.root=d", "hydra.sweep.dir=d", body=WITH_JOB))
    assert [Path(job[0]).parent.name for job in both] == ["d", "d"]


def test_a_sweep_that_grows_or_runs_elsewhere_finds_the_folders_of_its_jobs(tmp_path: Path) -> None:
    """What varies may be fixed once and swept later, in any order; threads and caches give no other result."""
    program = WITH_JOB.replace("return JobResult", "folder.mkdir(); return JobResult")
    (first,) = jobs_of(run_program(tmp_path, "-m", "seed=1", "context=local", "run.root=a", body=program))
    program = WITH_JOB.replace("return JobResult", "folder.mkdir(exist_ok=True); return JobResult")
    for words in (["context=local", "seed=1,2"], ["seed=1,2", "context=local", "runtime.threads=1", "cache.root=c"]):
        grown = jobs_of(run_program(tmp_path, "-m", *words, "run.root=a", body=program))
        assert grown[0][0] == first[0] != grown[1][0]
    other = jobs_of(run_program(tmp_path, "-m", "context=local", "seed=1,2", "model.padding=zero", "run.root=a",
                                body=program))  # fmt: skip
    assert first[0] not in [job[0] for job in other]


def test_what_a_recipe_varies_is_judged_like_what_is_typed(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    params = {"stages": ("[frontend", "a closing bracket is missing"), "context": ("larg,local", "did you mean large")}
    for key, (value, reason) in params.items():
        text = (
            f"# @package _global_\ndefaults: [shapes, _self_]\nhydra: {{sweeper: {{params: {{{key}: '{value}'}}}}}}\n"
        )
        (tmp_path / "experiment" / "mine.yaml").write_text(text)
        result = run_program(tmp_path, "--config-dir", ".", "-m", "experiment=mine", body=WITH_JOB)
        assert result.returncode == 2 and reason in result.stderr and not (tmp_path / "runs").exists()


def test_whole_sections_can_vary(tmp_path: Path) -> None:
    jobs = jobs_of(run_program(tmp_path, "-m", "model.context={dilations:[1,2]},{dilations:[1,3]}", body=WITH_JOB))
    assert [job[-1] for job in jobs] == ["model.context={dilations:[1,2]}", "model.context={dilations:[1,3]}"]


def test_a_recipe_of_ones_own_can_say_what_varies(tmp_path: Path) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    for name, mode in (("mine", ""), ("always", "mode: MULTIRUN, ")):
        (tmp_path / "own" / "experiment" / f"{name}.yaml").write_text(
            "# @package _global_\ndefaults: [shapes, _self_]\nrun: {root: swept}\n"
            f'hydra: {{{mode}sweeper: {{params: {{seed: "5,6", stages: "[frontend]"}}}}}}\n'
        )
    own = ["--config-dir", "own"]
    flags = ["--config-dir", str(tmp_path / "own")]
    jobs = jobs_of(run_program(tmp_path, *own, "-m", "experiment=mine", body=WITH_JOB))
    assert [job[1:] for job in jobs] == [
        [*flags, "stages=[frontend]", "experiment=mine", f"seed={seed}"] for seed in (5, 6)
    ]
    assert [Path(job[0]).name.rpartition("-")[0] for job in jobs] == ["seed=5", "seed=6"]
    assert {Path(job[0]).parent.name for job in jobs} == {"swept"}
    (job,) = jobs_of(run_program(tmp_path, *own, "-m", "experiment=mine", "seed=3", body=WITH_JOB))
    assert "seed=3" in job
    single = run_program(tmp_path, *own, "experiment=mine")
    assert single.stdout == "ran shapes 0 [1, 1, 2, 4, 8, 16, 1] swept False\n", single.stderr
    jobs = jobs_of(run_program(tmp_path, *own, "experiment=always", body=WITH_JOB))
    assert [job[5:] for job in jobs] == [["seed=5", "hydra.mode=RUN"], ["seed=6", "hydra.mode=RUN"]]
    single = run_program(tmp_path, *own, "experiment=always", "hydra.mode=RUN")
    assert single.stdout == "ran shapes 0 [1, 1, 2, 4, 8, 16, 1] swept False\n"


@pytest.mark.parametrize(
    ("name", "kind", "words", "folders"),
    [
        (
            "analyze",
            "AnalyzeConfig",
            ["num_classes=2,3"],
            ["runs/analysis/num_classes=2", "runs/analysis/num_classes=3"],
        ),
        ("analyze", "AnalyzeConfig", ["context=large,local", "output=x"], ["x/context=large", "x/context=local"]),
        ("analyze", "AnalyzeConfig", ["num_classes=2", "output=x"], ["x"]),
        (
            "predict",
            "PredictConfig",
            ["input=.", "flip=true,false"],
            ["predictions/flip=True", "predictions/flip=False"],
        ),
        ("predict", "PredictConfig", ["input=.", "output=x,y"], ["x", "y"]),
        ("eval", "EvalConfig", ["flip=true,false"], ["run/eval-val/flip=True", "run/eval-val/flip=False"]),
        ("eval", "EvalConfig", ["split=val,test"], ["run/eval-val", "run/eval-test"]),
        ("eval", "EvalConfig", ["split=val,test", "hydra.sweep.dir=x"], ["x/split=val", "x/split=test"]),
        (
            "analyze",
            "AnalyzeConfig",
            ["num_classes=2,3", "hydra.sweep.dir=x", "hydra.sweep.subdir=${hydra.job.num}"],
            ["x/0", "x/1"],
        ),
    ],
)
def test_no_two_jobs_of_a_sweep_write_to_one_folder(
    tmp_path: Path, name: str, kind: str, words: list[str], folders: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pt").touch()
    checkpoint = [] if name == "analyze" else ["checkpoint=run/best.pt"]
    result = run_program(tmp_path, "-m", *checkpoint, *words, body=RESULTS.format(name=name, kind=kind), name=name)
    assert result.returncode == 0, result.stderr
    found = [line.removeprefix("to ") for line in result.stdout.splitlines() if line.startswith("to ")]
    assert [re.sub("-[0-9a-f]{8}$", "", folder) for folder in found] == folders


def test_jobs_whose_folder_cannot_be_their_own_are_refused(tmp_path: Path) -> None:
    body = RESULTS.format(name="analyze", kind="AnalyzeConfig")
    result = run_program(tmp_path, "-m", "runs=.", "against=[1],[2]", body=body, name="analyze")
    assert result.returncode == 2 and "2 jobs would write to ., the last one over the others" in result.stderr
    assert "to" not in result.stdout


@pytest.mark.parametrize("name", ["train", "eval", "predict", "analyze", "audit", "report"])
@pytest.mark.parametrize("words", [[], ["-m"]])
def test_several_processes_of_torchrun_are_refused_one_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    monkeypatch.setenv("WORLD_SIZE", "2")
    kinds = {"train": Config, "eval": EvalConfig, "predict": PredictConfig, "analyze": AnalyzeConfig,
             "audit": AuditConfig, "report": ReportConfig}  # fmt: skip
    assert Command(kinds[name], lambda config: 1).start(importlib.import_module(name).main) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "WORLD_SIZE=2" in line and "without torchrun" in line


def test_one_process_of_torchrun_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setattr(sys, "argv", ["analyze.py"])
    command = Command(AnalyzeConfig, lambda config: 7)
    monkeypatch.setattr(analyze, "COMMAND", command)
    assert command.start(analyze.main) == 7


def test_sweep_ends_when_a_run_is_asked_to_stop(tmp_path: Path) -> None:
    result = run_program(tmp_path, "-m", "seed=75,0")
    assert result.returncode == 75
    assert "ran shapes 0" not in result.stdout


def test_a_launcher_whose_processes_die_of_the_signal_is_a_sweep_that_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import os, signal, sys\n"
        "from assembly.command import Command\n"
        "from configs.schema import Config\n"
        "from engine.sweeps.sweep import JobResult\n"
        "def main():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    raise RuntimeError('a worker was killed')\n"
        "sys.exit(Command(Config, lambda config: 0, lambda *_: JobResult(0)).start(main))\n"
    )
    command = [sys.executable, "program.py", "-m", "seed=1,2", "run.root=a"]
    environment = {"PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, preexec_fn=restore_interrupt
    )
    assert done.returncode == 75 and done.stderr == "" and "the same command goes on from here" in done.stdout


def restore_interrupt() -> None:
    """The tests may run in the background of a shell, which ignores it there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_help_is_hydras(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
    with pytest.raises(SystemExit) as end:
        Command(Config, lambda config: 1).start(train.main)
    assert end.value.code == 0 and "camvid_cpu" in capsys.readouterr().out


def test_config_is_shown_by_hydra(tmp_path: Path) -> None:
    shown = run_program(tmp_path, "--cfg", "job", "seed=5", "data=camvid")
    assert shown.returncode == 0 and "seed: 5" in shown.stdout and "name: camvid" in shown.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]
