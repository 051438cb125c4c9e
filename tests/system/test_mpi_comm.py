"""Training on ranks of a real MPI launcher. Skipped where there is none."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from many_ranks import SETTINGS
from places import HELPERS
from processes import descendants_of, is_alive, wait_until
from tiny import TEXT, all_that_counts, differing, metrics, newest, tiny_config, train

from charlstm.config.writing import dump_config
from charlstm.errors import ConfigError
from charlstm.saved.run_folder import RunFolder
from charlstm.system import mpi_apart, mpi_launcher

OPERATIONS = HELPERS / "mpi_operations.py"
SILENCE = HELPERS / "mpi_silence.py"

# More ranks than cores, as root if need be, in a container, sharing the cores with other tests.
LENIENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}


def find_mpirun() -> str | None:
    """The system's, or one that came with a package into this environment."""
    return shutil.which("mpirun") or shutil.which("mpirun", path=Path(sys.executable).parent)


def loads_mpi() -> bool:
    program = [sys.executable, "-c", "from mpi4py import MPI"]
    return subprocess.run(program, capture_output=True, check=False).returncode == 0


MPIRUN = find_mpirun()
needs_mpi = pytest.mark.skipif(
    MPIRUN is None or not loads_mpi(), reason="needs mpirun, and mpi4py that can load its library"
)


def start(ranks: int, *arguments: Any) -> "subprocess.Popen[str]":
    assert MPIRUN is not None
    return subprocess.Popen(
        [MPIRUN, "-n", str(ranks), sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | LENIENT,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


def charlstm(ranks: int, *arguments: Any) -> tuple[int, str, str]:
    return ended(start(ranks, "-m", "charlstm", *arguments))


def config_file(folder: Path, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "c.yaml"
    file.write_text(dump_config(tiny_config(folder, TEXT * 4, **SETTINGS | settings)))
    return file


def trained(folder: Path, ranks: int, **settings: Any) -> list[dict[str, Any]]:
    file = config_file(folder, **settings)
    code, out, err = charlstm(ranks, "train", file, "--out", folder / "run", "--resume", "-q")
    assert (code, out) == (0, f"{folder / 'run'}\n"), err
    return metrics(folder / "run")


def losses(rows: list[dict[str, Any]]) -> list[float]:
    """Of every step, and every validation loss."""
    return [row.get("train_loss", row.get("val_loss")) for row in rows]


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 3])
def test_operations(ranks: int) -> None:
    code, out, err = ended(start(ranks, OPERATIONS))
    assert code == 0, err
    expected = [f"rank {rank} of {ranks} agrees" for rank in range(ranks)]
    assert sorted(re.findall(r"rank \d of \d agrees", out)) == expected


@needs_mpi
def test_a_rank_elsewhere_that_says_nothing_is_named() -> None:
    code, out, err = ended(start(3, SILENCE, 50, 0.5))
    assert code == 5, err
    assert "rank 1 on there has not been heard of for 0.5 seconds (training.rank_timeout)" in out


@needs_mpi
def test_a_rank_elsewhere_that_is_slow_is_waited_for() -> None:
    code, out, err = ended(start(3, SILENCE, 1, 30))
    assert code == 0, err
    sums = [3 * 3, 3 * 3]  # 0 + 1 + 2, then three of these; three times 1, then three of these
    # A launcher passes on what the ranks print as it comes, without waiting for the ends of lines.
    said = sorted(re.findall(r"rank \d has \d+, \d+", out))
    assert said == [f"rank {rank} has {sums[0]}, {sums[1]}" for rank in range(3)]


def test_while_a_program_is_stopped_it_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 100.25, 100.75, 5000.0, 5000.5])
    monkeypatch.setattr(mpi_apart.time, "monotonic", lambda: next(times))
    clock = mpi_apart._Clock()
    assert [clock.waited() for _ in range(4)] == [0.25, 0.75, 1.75, 2.25]


@needs_mpi
def test_the_number_of_ranks_changes_rounding_only(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, TEXT * 4, **SETTINGS)
    train(config, tmp_path / "alone")
    alone = losses(metrics(tmp_path / "alone"))
    assert len(alone) == 200 + 4
    for ranks in (1, 2, 4):
        shared = losses(trained(tmp_path / str(ranks), ranks))
        assert shared == pytest.approx(alone, rel=1e-5, abs=0)
        assert (shared == alone) == (ranks == 1)


@needs_mpi
def test_the_same_number_gives_the_same_bits_as_often_and_as_local_workers(tmp_path: Path) -> None:
    for name in ("once", "twice"):
        trained(tmp_path / name, 3, **{"training.steps": 40})
    file = config_file(tmp_path / "local", **{"training.steps": 40, "training.workers": 3})
    subprocess.run(
        [sys.executable, "-m", "charlstm", "train", file, "-q", "--out", tmp_path / "local/run"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    once, twice, local = (all_that_counts(tmp_path / n / "run") for n in ("once", "twice", "local"))
    assert not differing(once, twice)
    assert not differing(once, local)


@needs_mpi
def test_a_run_may_go_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    settings = {"output.checkpoint_every": 20, "evaluation.every": 0, "data.validation_fraction": 0}
    alone = tiny_config(tmp_path, TEXT * 4, **SETTINGS | settings | {"training.steps": 60})
    train(alone, tmp_path / "alone")
    for steps, ranks in ((20, 3), (40, 1), (60, 2)):
        changing = trained(tmp_path / "changing", ranks, **settings | {"training.steps": steps})
    assert losses(changing) == pytest.approx(losses(metrics(tmp_path / "alone")), rel=1e-5, abs=0)
    states = newest(tmp_path / "changing" / "run").states
    assert states == pytest.approx(newest(tmp_path / "alone").states, rel=1e-3, abs=1e-5)


@needs_mpi
def test_only_rank_0_speaks_and_workers_are_ignored(tmp_path: Path) -> None:
    file = config_file(tmp_path, **{"training.steps": 3, "training.workers": 2})
    code, out, err = charlstm(3, "train", file, "--out", tmp_path / "run")
    assert code == 0
    assert out == f"{tmp_path / 'run'}\n"
    lines = err.splitlines()
    assert lines[0].startswith("training.workers is ignored")
    assert [line.split()[1] for line in lines if line.startswith("step ")] == [
        *("1/3", "2/3", "3/3"),
        "3/3",  # the validation loss
    ]
    assert sum(line.startswith("Finished 3 steps") for line in lines) == 1


@needs_mpi
@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        (["model.hiden_size=3"], 2, "hiden_size"),
        (["training.batch_size=2"], 2, "3 ranks cannot share training.batch_size=2"),
        (
            ["training.learning_rate=1e43", "training.clip_norm=0", "training.optimizer=sgd"],
            4,
            "became",
        ),
    ],
)
def test_an_error_is_said_once_and_ends_all(
    tmp_path: Path, settings: list[str], code: int, message: str
) -> None:
    file = config_file(tmp_path)
    found, _, err = charlstm(3, "train", file, *settings, "--out", tmp_path / "run")
    assert found == code, err
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in err


@needs_mpi
def test_a_rank_that_fails_ends_all_and_says_so(tmp_path: Path) -> None:
    file = config_file(tmp_path)
    program = (
        "import sys; from pathlib import Path; from charlstm.system import mpi_launcher;"
        "from charlstm.training import worker;"
        "from charlstm.__main__ import main;"
        "from charlstm.errors import FileError\n"
        "def fail(*_): raise FileError('text.txt: cannot be read here')\n"
        "if mpi_launcher.world().Get_rank() == 2: worker.read_dataset = fail\n"
        f"sys.argv[1:] = ['train', {str(file)!r}, '--out', {str(tmp_path / 'run')!r}]; main()"
    )
    code, _, err = ended(start(3, "-c", program))
    assert code == 3
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: rank 2 on ")
    ours = errors[0].rstrip("-")  # mpirun may draw its line before ours has ended
    assert ours.endswith(": text.txt: cannot be read here")


@needs_mpi
def test_a_program_that_trains_by_itself_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from charlstm.training import run\n"
        "from charlstm.config.reading import *;"
        "from charlstm.training.resuming import Options\n"
        f"config = load_config(Path({str(config_file(tmp_path))!r}))\n"
        f"run.run_training(config, Path({str(tmp_path / 'run')!r}), Options(), print)"
    )
    code, _, err = ended(start(2, "-c", program))
    assert code != 0
    assert "under an MPI launcher, train with the command `charlstm train`" in err


class Endless:
    """mpirun, its three ranks in order, and the run folder; the training would take hours."""

    def __init__(self, folder: Path, checkpoint_every: int) -> None:
        settings = {"training.steps": 10**7, "output.report_every": 10, "evaluation.every": 0}
        file = config_file(folder, **settings, **{"output.checkpoint_every": checkpoint_every})
        self.run = RunFolder(folder / "run")
        self.process = start(3, "-m", "charlstm", "train", file, "--out", self.run.path)
        self.ranks: list[int] = []

    def wait_until_it_is_under_way(self) -> None:
        wait_until(self.is_under_way, 60)
        ranks = {rank_of(pid): pid for pid in descendants_of(self.process.pid)}
        self.ranks = [ranks[0], ranks[1], ranks[2]]

    def is_under_way(self) -> bool:
        assert self.process.poll() is None
        metrics = self.run.metrics
        return metrics.exists() and metrics.read_text().count("\n") > 2

    def wait_for_ranks(self) -> None:
        wait_until(lambda: not any(map(is_alive, self.ranks)), 10)


@pytest.fixture(params=[10])
def endless(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Endless]:
    """A checkpoint every 10 steps, or as the test says."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc")
    endless = Endless(tmp_path, request.param)
    try:
        endless.wait_until_it_is_under_way()
        yield endless
    finally:
        for pid in filter(is_alive, endless.ranks):
            os.kill(pid, signal.SIGKILL)
        endless.process.terminate()
        endless.process.communicate()


def rank_of(pid: int) -> int:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    named = dict(line.split(b"=", 1) for line in variables if b"=" in line)
    names = (b"OMPI_COMM_WORLD_RANK", b"PMI_RANK", b"PMIX_RANK")
    return next((int(named[name]) for name in names if name in named), -1)


@needs_mpi
@pytest.mark.parametrize("which", [0, 2])
def test_a_killed_rank_ends_the_job_with_whole_checkpoints(endless: Endless, which: int) -> None:
    os.kill(endless.ranks[which], signal.SIGKILL)
    code, out, err = ended(endless.process)
    assert code != 0
    assert f"rank {which}" in err or re.search(r"signal:? 9", out, re.I)  # Open MPI, MPICH
    endless.wait_for_ranks()
    assert newest(endless.run.path).progress.step % 10 == 0


@needs_mpi
@pytest.mark.parametrize("endless", [0], indirect=True)
def test_a_signal_to_rank_0_saves_and_stops_all(endless: Endless) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        os.kill(endless.ranks[1], number)  # the others leave it to rank 0
    os.kill(endless.ranks[0], signal.SIGTERM)
    code, _, err = ended(endless.process)
    assert code != 0
    step = newest(endless.run.path).progress.step
    assert f"Stopped by SIGTERM at step {step:,}; saved." in err
    endless.wait_for_ranks()


@needs_mpi
@pytest.mark.parametrize("endless", [0], indirect=True)
def test_a_signal_to_the_launcher_saves_and_stops_all(endless: Endless) -> None:
    endless.process.send_signal(signal.SIGINT)
    code, _, _ = ended(endless.process)
    assert code != 0
    endless.wait_for_ranks()
    assert newest(endless.run.path).progress.step > 10


@needs_mpi
def test_nobody_survives_a_killed_launcher(endless: Endless) -> None:
    endless.process.kill()
    endless.wait_for_ranks()
    newest(endless.run.path)


# Without a launcher


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [
        *mpi_launcher.SIGNS,
        mpi_launcher.SWITCH,
        "PMIX_NAMESPACE",
        "SLURM_STEP_NUM_TASKS",
    ]:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def slurm_step(tasks: int, mpi: str) -> dict[str, str]:
    """What srun sets, as seen with Slurm 22.05."""
    variables = {"SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_PROCID": "0"}
    pmix = {"PMIX_NAMESPACE": "slurm.pmix.2.0", "PMIX_RANK": "0"}
    return variables | {"pmix": pmix, "pmi2": {"PMI_SIZE": str(tasks)}, "none": {}}[mpi]


# mpirun and prun start their daemons by srun, so what they start has the variables of a step too.
MPIRUN_IN_SLURM = {"OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "0", "PMIX_NAMESPACE": "3042771201"}
PRUN_IN_SLURM = {"PMIX_RANK": "0", "PMIX_NAMESPACE": "prterun-n1-11@1"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, True),
        ({"PMI_SIZE": "4"}, True),
        ({"PMI_SIZE": "1"}, False),
        ({"PMIX_RANK": "0"}, True),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, False),
        (slurm_step(4, "pmix"), True),
        (slurm_step(1, "pmix"), False),
        (slurm_step(1, "pmix") | {"CHARLSTM_MPI": "1"}, True),
        (slurm_step(4, "pmi2"), True),
        (slurm_step(1, "pmi2"), False),
        (slurm_step(4, "none"), False),
        (slurm_step(1, "none") | MPIRUN_IN_SLURM, True),
        (slurm_step(1, "none") | PRUN_IN_SLURM, True),
        ({"SLURM_NTASKS": "4", "CHARLSTM_MPI": "1"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "4", "CHARLSTM_MPI": "0"}, False),
    ],
)
def test_a_launcher_is_known_by_its_variables(
    no_launcher: pytest.MonkeyPatch, variables: dict[str, str], expected: bool
) -> None:
    for name, value in variables.items():
        no_launcher.setenv(name, value)
    assert mpi_launcher.launched() is expected


@pytest.mark.parametrize(
    ("variables", "ranks", "tasks"),
    [
        ({}, 1, 1),
        (slurm_step(4, "pmix"), 4, 1),
        (slurm_step(4, "pmi2"), 4, 1),
        (slurm_step(4, "none"), 1, 4),
        (slurm_step(4, "none") | {"CHARLSTM_MPI": "0"}, 1, 1),
        (slurm_step(1, "pmix"), 1, 1),
        (slurm_step(2, "none") | MPIRUN_IN_SLURM, 4, 1),
        (slurm_step(2, "none") | PRUN_IN_SLURM, 1, 1),
    ],
)
def test_what_srun_started_is_counted(
    no_launcher: pytest.MonkeyPatch, variables: dict[str, str], ranks: int, tasks: int
) -> None:
    for name, value in variables.items():
        no_launcher.setenv(name, value)
    assert mpi_launcher.ranks_started() == ranks
    assert mpi_launcher.tasks_without_mpi() == tasks


def test_srun_without_mpi_says_what_is_missing(
    no_launcher: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_launcher.setenv("SLURM_STEP_NUM_TASKS", "2")
    program = [sys.executable, "-m", "charlstm", "train", config_file(tmp_path), "training.steps=1"]
    done = subprocess.run(
        [*program, "--out", tmp_path / "run"], capture_output=True, text=True, check=True
    )
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("Warning: srun")]
    assert "srun started 2 processes, and each trains by itself" in warning
    assert "--mpi=pmix" in warning


def test_without_mpi4py_a_launched_process_says_what_to_install(
    no_launcher: pytest.MonkeyPatch,
) -> None:
    no_launcher.setenv("OMPI_COMM_WORLD_SIZE", "2")
    no_launcher.setitem(sys.modules, "mpi4py", None)
    mpi_launcher.world.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'charlstm\[mpi\]'"):
        mpi_launcher.world()


@needs_mpi
@pytest.mark.parametrize("launcher", ["pmi2", "pmix"])
def test_processes_that_cannot_see_each_other_are_refused(tmp_path: Path, launcher: str) -> None:
    """As with an mpi4py that was built for another MPI than that of the launcher."""
    variables = slurm_step(4, launcher)
    if launcher == "pmix":  # Open MPI would look for its server
        variables["PMIX_RANK"] = ""
    finished = subprocess.run(
        [sys.executable, "-m", "charlstm", "train", config_file(tmp_path)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 2
    assert "started 4 processes, but they do not see each other" in finished.stderr
