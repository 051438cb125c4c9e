"""The shell scripts of examples/, as they are, on tiny settings; a killed sweep loses nothing."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from places import ROOT
from processes import children_of, wait_until

EXAMPLES = ROOT / "examples"
SWEEP = EXAMPLES / "sweep.sh"
ARRAY = EXAMPLES / "slurm-array.sh"
MPI = EXAMPLES / "slurm-mpi.sh"

CONFIG = """\
data: {files: text.txt, validation_fraction: 0.4}
model: {layers: 1, hidden_size: 128, embedding_size: 0, dropout: 0}
training:
  {batch_size: 3, sequence_length: 4, steps: 400, learning_rate: 2e-3, early_stopping: 0}
schedule: {kind: constant, warmup_steps: 0}
evaluation: {every: 100}
output: {report_every: 20, checkpoint_every: 20}
"""


def laid_out(folder: Path) -> Path:
    """A configuration, a text, and a ``charlstm`` for the PATH: the one being tested."""
    (folder / "c.yaml").write_text(CONFIG)
    (folder / "text.txt").write_text(tiny.TEXT)
    (folder / "bin").mkdir()
    put_command(folder, "charlstm", f'exec {shlex.quote(sys.executable)} -m charlstm "$@"')
    return folder


def put_command(folder: Path, name: str, *lines: str) -> None:
    command = folder / "bin" / name
    command.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    command.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return laid_out(tmp_path)


def start(folder: Path, *command: object, **variables: str) -> subprocess.Popen[str]:
    """In a session of its own, as a terminal or a batch system would."""
    environment = os.environ | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
        **variables,
    }
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def sweep(folder: Path, *settings: str, **variables: str) -> subprocess.Popen[str]:
    grid = {"SIZES": "3 5", "RATES": "0.01", **variables}
    return start(folder, SWEEP, "c.yaml", "runs/my sweep", *settings, **grid)


def table_of(process: subprocess.Popen[str]) -> list[str]:
    """What it printed, without the column that a clock has measured."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    head, *rows = out.splitlines()
    end = head.index("chars/s") + len("chars/s")
    start = head.index("bits/char") + len("bits/char")
    assert [row[start:end].strip().replace(",", "").isdigit() for row in rows[:2]] == [True, True]
    return [line[:start] + line[end:] for line in (head, *rows)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return table_of(sweep(laid_out(folder)))


@pytest.mark.parametrize("script", [SWEEP, ARRAY, MPI], ids=lambda path: path.name)
def test_a_script_can_be_started_and_parsed(script: Path):
    assert os.access(script, os.X_OK)
    shell = script.read_text().splitlines()[0].removeprefix("#!")
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0


def test_a_sweep_ends_with_a_table(undisturbed: list[str]):
    head, first, second, _, *settings = undisturbed
    assert head.split() == ["name", "cell", "size", "parameters", "steps", "bits/char", "state"]
    assert {first.split()[0], second.split()[0]} == {"h3-lr0.01", "h5-lr0.01"}
    for row in (first, second):
        assert [row.split()[6], row.split()[8]] == ["400", "finished"]
    assert float(first.split()[7]) < float(second.split()[7])
    assert settings[0].startswith("settings that differ")


def kill_midway(folder: Path, **variables: str) -> None:
    """End a sweep and all that it started, at once, when the last run has saved something."""
    process = sweep(folder, **variables)
    saved = folder / "runs" / "my sweep" / "h5-lr0.01" / "checkpoints"
    wait_until(lambda: saved.is_dir() and any(saved.glob("step-*")), seconds=60)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_sweep_killed_midway_and_started_again_ends_with_the_same_table(
    folder: Path, undisturbed: list[str], jobs: str
):
    kill_midway(folder, JOBS=jobs)
    run = folder / "runs" / "my sweep" / "h5-lr0.01"
    assert tiny.newest(run).progress.step < 400
    again = sweep(folder, JOBS=jobs)
    assert table_of(again) == undisturbed
    assert tiny.newest(run).progress.finished


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_finished_sweep_started_again_trains_nothing(folder: Path, jobs: str):
    first = table_of(sweep(folder, "training.steps=20", JOBS=jobs))
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    assert table_of(sweep(folder, "training.steps=20", JOBS=jobs)) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == made


@pytest.mark.parametrize(("jobs", "code"), [("1", 2), ("2", 123)])
def test_a_sweep_that_cannot_start_fails(folder: Path, jobs: str, code: int):
    process = sweep(folder, "training.steps=none", JOBS=jobs)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert "expected a whole number" in err


# Scripts for a queue, under commands that stand for Slurm's. tests/cluster has a real Slurm.

RUNS = {"array": "runs/array/h64", "mpi": "runs/mpi", "single": "runs/quickstart"}
each_script = pytest.mark.parametrize("name", RUNS)


def script_of_the_readme(folder: Path) -> Path:
    text = (ROOT / "README.md").read_text()
    beginning = text.index("#!/bin/bash\n#SBATCH")
    script = folder / "single.sh"
    script.write_text(text[beginning : text.index("```", beginning)])
    script.chmod(0o755)
    return script


def queued(folder: Path, name: str, **variables: str) -> subprocess.Popen[str]:
    """A script that trains c.yaml. What it puts back into the queue is noted in ``requeued``."""
    put_command(folder, "scontrol", f'echo "$@" >> {shlex.quote(str(folder / "requeued"))}')
    (folder / "configs").mkdir()
    (folder / "configs" / "quickstart.yaml").write_text(
        (folder / "c.yaml").read_text().replace("text.txt", "../text.txt")
    )
    commands = {
        "array": [ARRAY],
        "mpi": [MPI, "c.yaml", RUNS["mpi"]],
        "single": [script_of_the_readme(folder)],
    }
    given = {"CONFIG": "c.yaml", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "77"}
    return start(folder, *commands[name], **given | variables)


def put_srun(folder: Path, *instead: str) -> None:
    """Without its options, a command runs as it is; or something else happens."""
    strip = 'while [ "${1#--}" != "$1" ]; do shift; done'
    put_command(folder, "srun", *(instead or (strip, 'exec "$@"')))


@each_script
def test_a_job_that_gets_ready(folder: Path, name: str):
    put_srun(folder)
    out, err = (process := queued(folder, name)).communicate(timeout=60)
    assert (process.returncode, out) == (0, f"{RUNS[name]}\n"), err
    assert tiny.newest(folder / RUNS[name]).progress.finished
    assert not (folder / "requeued").exists()


@each_script
def test_a_job_that_reaches_its_limit_saves_and_goes_back_into_the_queue(folder: Path, name: str):
    put_srun(folder)
    (folder / "c.yaml").write_text(CONFIG.replace("steps: 400", "steps: 100000000"))
    process = queued(folder, name)
    run = folder / RUNS[name]
    wait_until(lambda: any(run.glob("checkpoints/step-*")), seconds=60)
    for child in children_of(process.pid):  # what srun started, as --signal without B: does
        os.kill(child, signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Stopped by SIGTERM" in err
    assert not tiny.newest(run).progress.finished
    assert (folder / "requeued").read_text() == "requeue 77\n"


@each_script
def test_a_job_that_fails_does_not_come_back(folder: Path, name: str):
    put_srun(folder)
    (folder / "text.txt").unlink()
    _, err = (process := queued(folder, name)).communicate(timeout=60)
    assert process.returncode == 3
    assert "text.txt" in err
    assert not (folder / "requeued").exists()


@each_script
def test_nor_if_srun_ends_as_at_the_limit_with_nothing_new_saved(folder: Path, name: str):
    put_srun(folder, f"exit {128 + signal.SIGTERM}")
    saved = folder / RUNS[name] / "checkpoints" / "step-00000007.safetensors"
    saved.parent.mkdir(parents=True)
    saved.touch()
    process = queued(folder, name)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert not (folder / "requeued").exists()


def test_a_task_of_an_array_and_the_settings_after_it(folder: Path):
    put_srun(folder)
    environment = {"CONFIG": "c.yaml", "SLURM_ARRAY_TASK_ID": "1", "SLURM_CPUS_PER_TASK": "1"}
    process = start(folder, ARRAY, "training.steps=20", **environment)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "runs/array/h128\n"), err


@pytest.mark.parametrize(
    ("task", "message"), [("9", "there is no such task"), ("", "is set by sbatch")]
)
def test_a_task_that_is_none(folder: Path, task: str, message: str):
    process = start(folder, ARRAY, SLURM_ARRAY_TASK_ID=task)
    _, err = process.communicate(timeout=10)
    assert process.returncode != 0
    assert message in err
