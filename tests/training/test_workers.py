"""Training on several processes of this machine: the same result, and nothing left behind."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layers import settings_of
from many_ranks import SETTINGS
from processes import children_of, is_alive, wait_until
from tiny import TEXT, all_that_counts, differing, metrics, newest, tiny_config, train

from charlstm.config.writing import config_to_dict, dump_config
from charlstm.errors import SystemRefusedError
from charlstm.saved.run_folder import RunFolder
from charlstm.system.shared_comm import local_ranks
from charlstm.training import run
from charlstm.training.dataset import read_dataset

EXACTNESS = {"float32": 1e-5, "float64": 1e-10}


def trained(folder: Path, workers: int, **settings: Any) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    config = tiny_config(folder, TEXT * 4, **SETTINGS | settings, **{"training.workers": workers})
    train(config, folder / "run", resume=True)
    return metrics(folder / "run")


def losses(rows: list[dict[str, Any]]) -> list[float]:
    """Of every step, and every validation loss."""
    return [row.get("train_loss", row.get("val_loss")) for row in rows]


@pytest.mark.parametrize(("dtype", "cell"), [("float32", "lstm"), ("float64", "lstm capped skips")])
def test_the_number_of_workers_changes_rounding_only(tmp_path: Path, dtype: str, cell: str) -> None:
    settings = {"model.dtype": dtype, "model.embedding_size": 3} | settings_of(cell)
    alone = losses(trained(tmp_path / "1", 1, **settings))
    assert len(alone) == 200 + 4
    for workers in (2, 3):
        shared = losses(trained(tmp_path / str(workers), workers, **settings))
        assert shared == pytest.approx(alone, rel=EXACTNESS[dtype], abs=0)
        assert shared != alone


@pytest.mark.parametrize("workers", [2, 3])
def test_a_stopped_and_resumed_run_has_the_bits_of_another_one(
    tmp_path: Path, workers: int
) -> None:
    settings = {"output.checkpoint_every": 20}
    trained(tmp_path / "straight", workers, **settings, **{"training.steps": 60})
    trained(tmp_path / "resumed", workers, **settings, **{"training.steps": 30})
    trained(tmp_path / "resumed", workers, **settings, **{"training.steps": 60})
    straight, resumed = (all_that_counts(tmp_path / n / "run") for n in ("straight", "resumed"))
    for name in ("metrics",):  # the shorter run also evaluated at its own end
        resumed[name] = [
            row for row in resumed[name] if not (row["step"] == 30 and "val_loss" in row)
        ]
    assert not differing(straight, resumed)


def test_a_run_may_go_on_with_another_number_of_workers(tmp_path: Path) -> None:
    alone = losses(trained(tmp_path / "1", 1, **{"training.steps": 60}))
    for steps, workers in ((20, 3), (40, 1), (60, 2)):
        changing = trained(tmp_path / "2", workers, **{"training.steps": steps})
    reports = [row for row in changing if "train_loss" in row]
    assert losses(reports) == pytest.approx(
        [
            loss
            for loss, row in zip(alone, metrics(tmp_path / "1" / "run"), strict=True)
            if "train_loss" in row
        ],
        rel=1e-5,
        abs=0,
    )
    assert newest(tmp_path / "2" / "run").states.shape == (2, 2, 7, 11)


def test_a_worker_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path, **{"training.workers": 3})
    start = run.ranks_for

    def start_without_text(*arguments: Any) -> Any:
        (tmp_path / "text.txt").unlink()
        return start(*arguments)

    monkeypatch.setattr(run, "ranks_for", start_without_text)
    with pytest.raises(SystemRefusedError) as caught:
        train(config, tmp_path / "run")
    assert str(caught.value) == (
        f"a worker process failed: {tmp_path}/text.txt: cannot be read: No such file or directory"
    )


def test_nothing_is_left_open(tmp_path: Path) -> None:
    def open_things() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), Path(
            "/proc/self/maps"
        ).read_text().count("memfd")

    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    settings = {"training.steps": 3, "evaluation.every": 0}
    trained(tmp_path / "first", 3, **settings)
    before = open_things()
    for name in "abc":
        trained(tmp_path / name, 3, **settings)
    assert open_things() == before


# From the command line, with signals


class Training:
    """``charlstm train`` with three workers, on a text that would take it hours."""

    def __init__(self, folder: Path) -> None:
        endless = {"training.steps": 10**7, "training.workers": 3, "output.checkpoint_every": 10}
        config = tiny_config(folder, **endless)
        (folder / "c.yaml").write_text(dump_config(config))
        self.run = RunFolder(folder / "run")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "charlstm", "train", folder / "c.yaml", "--out", self.run.path],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        wait_until(lambda: bool(self.run.steps()), 60)
        self.workers = children_of(self.process.pid)
        assert len(self.workers) == 2

    def ended(self) -> tuple[int, list[str], float]:
        """Exit code, what it said, and how long it took to end."""
        started = time.monotonic()
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said.splitlines(), time.monotonic() - started


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Training]:
    if not Path("/proc/self/task").exists():
        pytest.skip("needs /proc")
    started = Training(tmp_path)
    yield started
    for pid in [started.process.pid, *started.workers]:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    started.process.communicate()


@pytest.mark.parametrize("which", [0, 1])
def test_a_killed_worker_ends_the_run_with_its_checkpoints(training: Training, which: int) -> None:
    os.kill(training.workers[which], signal.SIGKILL)
    code, said, seconds = training.ended()
    assert code == 5
    errors = [line for line in said if not line.startswith("step ")][1:]
    step = newest(training.run.path).progress.step
    assert errors == [
        "Error: a worker process died (signal 9, out of memory?). The last saved step is"
        f" {step:,}, in {training.run.path}; continue with --resume."
    ]
    assert step % 5 == 0
    assert seconds < 2
    assert not any(map(is_alive, training.workers))


def test_workers_end_with_a_killed_parent(training: Training) -> None:
    training.process.kill()
    assert wait_until(lambda: not any(map(is_alive, training.workers)), 10) < 2
    newest(training.run.path)


def test_ctrl_c_in_a_terminal_saves_and_leaves_nobody(training: Training) -> None:
    os.killpg(training.process.pid, signal.SIGINT)
    code, said, _ = training.ended()
    assert code == -signal.SIGINT
    step = newest(training.run.path).progress.step
    assert said[-1].startswith(f"Stopped by SIGINT at step {step:,}; saved. Continue: charlstm")
    assert not any(map(is_alive, training.workers))
    last = [json.loads(line)["step"] for line in training.run.metrics.read_text().splitlines()]
    assert max(last) <= step


def test_signals_to_workers_alone_change_nothing(training: Training) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        os.kill(training.workers[0], number)
    before = training.run.steps()[0]
    wait_until(lambda: training.run.steps()[0] > before, 30)
    assert training.process.poll() is None
    assert all(map(is_alive, training.workers))


def test_a_worker_out_of_memory_says_no_more_than_that(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tmp_path, **{"model.hidden_size": 10**6})  # terabytes
    setup = {"config": config_to_dict(config), "folder": str(tmp_path / "run"), "checkpoint": None}
    setup["text"] = read_dataset(config).identity.stated()
    with (
        pytest.raises(SystemRefusedError, match="a worker process failed: out of memory; make"),
        local_ranks(2, 100, setup, {}) as comm,
    ):
        comm.broadcast(np.zeros(3))
    assert capfd.readouterr().err == ""
