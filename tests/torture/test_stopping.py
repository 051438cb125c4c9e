"""Signals to real trainings: saved, told how to go on, ended by that very signal."""

import fcntl
import os
import random
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tiny import TEXT, all_that_counts, differing
from torture.processes import (
    CHARLSTM,
    ENVIRONMENT,
    TORTURE,
    complete,
    finish,
    newest_good,
    quick_folder,
    start,
    steps_of,
    strays,
    train,
    undisturbed,
    wait_for_step,
    wait_until,
)

from charlstm.saved.run_folder import RunFolder

STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
SLOW = ["model.hidden_size=400", "model.layers=3"]
SLOW += ["training.batch_size=17", "training.sequence_length=6", "training.steps=100000"]
SLOW += ["evaluation.every=0", "schedule.kind=constant", "output.sample_every=0"]
SEED = int(os.environ.get("TORTURE_SEED", "1"))


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Any]:
    with quick_folder() as folder:
        complete(folder, "--quiet")
        return all_that_counts(folder / "run")


def test_stopped_at_random_instants_and_continued(uninterrupted: dict[str, Any]):
    rng = random.Random(SEED)
    slowest = 0.0
    stopped = 0
    for round_ in range(2 * TORTURE):
        for number in STOPPING:
            with quick_folder() as folder:
                # Every other run saves only when it is told to.
                rarely = ["output.checkpoint_every=0"] if round_ % 2 else []
                process = train(folder, *rarely)
                wait_until(lambda run=folder / "run": (run / "metrics.jsonl").exists())
                time.sleep(rng.uniform(0.01, 0.2))
                sent = time.monotonic()
                process.send_signal(number)
                code, talk = finish(process)
                slowest = max(slowest, time.monotonic() - sent)
                assert code == -number, talk
                stopped += go_on(folder, number, talk)
                assert differing(all_that_counts(folder / "run"), uninterrupted) == []
    print(f"stopped by signals, seed {SEED}: {stopped}, the slowest took {slowest:.2f} s")
    assert stopped > 0
    assert slowest < 5


def go_on(folder: Path, number: signal.Signals, talk: str) -> bool:
    """Do what the last line says; False if the training was faster than the signal."""
    last = talk.splitlines()[-1]
    told = re.fullmatch(
        rf"Stopped by {number.name} at step ([0-9]+); saved\. Continue: charlstm (.*)", last
    )
    assert newest_good(folder) is not None
    assert strays(folder) == []
    if told is None:
        assert last.startswith("Finished 400 steps.")
        return False
    assert steps_of(folder) == int(told[1])
    code, talk = finish(start(folder, *shlex.split(told[2])))
    assert code == 0, talk
    assert f"Resuming at step {told[1]}." in talk
    return True


LONG = ["evaluation.every=2", "output.checkpoint_every=0", "schedule.kind=constant"]
LONG += ["training.batch_size=2", "training.sequence_length=4", "model.hidden_size=64"]
LONG_WORK = {
    "evaluation": ["data.files=long.txt", "data.validation_fraction=0.9", "output.sample_every=0"],
    "sample": ["output.sample_every=2", "output.sample_length=100000000"],
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("due", LONG_WORK)
def test_nobody_waits_for_a_long_evaluation_or_sample(due: str, workers: int):
    with quick_folder() as folder:
        (folder / "long.txt").write_text(TEXT * 12_000)  # minutes to evaluate, a second to read
        process = train(folder, *LONG, *LONG_WORK[due], f"training.workers={workers}")
        wait_until((folder / "run" / "metrics.jsonl").exists)
        time.sleep(1.5)  # two steps take milliseconds
        process.terminate()
        sent = time.monotonic()
        code, talk = finish(process)
        seconds = time.monotonic() - sent
        print(f"{due}, {workers} workers: {seconds:.2f} s")
        assert code == -signal.SIGTERM, talk
        assert "Stopped by SIGTERM at step 2; saved. Continue: " in talk
        saved = newest_good(folder)
        assert saved is not None
        assert saved.progress.due == [due]
        assert seconds < 5  # on an idle machine less than one


@pytest.mark.parametrize("number", STOPPING)
def test_the_second_signal_ends_at_once(number: signal.Signals):
    """In the middle of a slow step: the first signal would be granted only after it."""
    with quick_folder() as folder:
        process = train(folder, *SLOW)
        wait_for_step(process, folder, 1)
        process.send_signal(number)
        time.sleep(0.005)
        process.send_signal(number)
        sent = time.monotonic()
        code, talk = finish(process)
        assert code == -number, talk
        assert time.monotonic() - sent < 1.0
        assert newest_good(folder) is not None


def test_two_signals_in_mid_save_leave_a_whole_checkpoint():
    rng = random.Random(SEED)
    for _ in range(2 * TORTURE):
        with quick_folder() as folder:
            process = train(folder, "--quiet", "training.steps=100000")
            wait_for_step(process, folder, 2)
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            code, _ = finish(process)
            assert code in (-signal.SIGINT, -signal.SIGTERM)
            found = newest_good(folder)
            assert found is not None
            complete(folder, "--resume", "-q", f"training.steps={found.progress.step + 1}")
            assert strays(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ignored_from_the_start_stays_ignored(
    uninterrupted: dict[str, Any], number: signal.Signals
):
    """As nohup does for HUP, and a shell for INT of what it runs in the background."""

    def ignoring() -> None:
        undisturbed()
        signal.signal(number, signal.SIG_IGN)

    with quick_folder() as folder:
        process = train(folder, before=ignoring)
        wait_for_step(process, folder, 1)
        for _ in range(3):
            process.send_signal(number)
            time.sleep(0.02)
        code, talk = finish(process)
        assert code == 0, talk
        assert differing(all_that_counts(folder / "run"), uninterrupted) == []


def test_usr1_saves_and_goes_on(uninterrupted: dict[str, Any]):
    with quick_folder() as folder:
        process = train(folder, "output.checkpoint_every=0", "output.keep=1000")
        wait_until((folder / "run" / "metrics.jsonl").exists)
        time.sleep(0.05)
        saved = 0
        for _ in range(3):
            before = RunFolder(folder / "run").steps()
            process.send_signal(signal.SIGUSR1)
            saved += waits_for_another(process, folder, before)
        code, talk = finish(process)
        assert code == 0, talk
        assert saved > 0
        assert differing(all_that_counts(folder / "run"), uninterrupted) == []


def test_usr1_while_it_starts_is_no_harm(uninterrupted: dict[str, Any]):
    with quick_folder() as folder:
        process = train(folder)
        while not (folder / "run" / "metrics.jsonl").exists():  # made when training begins
            if (folder / "run" / "run.lock").exists():
                process.send_signal(signal.SIGUSR1)
            time.sleep(0.001)
        code, talk = finish(process)
        assert code == 0, talk
        assert differing(all_that_counts(folder / "run"), uninterrupted) == []


def waits_for_another(process: Any, folder: Path, before: list[int]) -> bool:
    wait_until(lambda: RunFolder(folder / "run").steps() != before or process.poll() is not None)
    return process.poll() is None


def test_a_shell_loop_stops_at_the_first_ctrl_c():
    with quick_folder() as folder:
        train_it = shlex.join([*CHARLSTM, "train", "c.yaml", "training.steps=1000000", "-q"])
        loop = f"for i in 1 2 3; do {train_it} --out run$i; done; echo all done"
        shell = subprocess.Popen(
            ["bash", "-c", loop],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=undisturbed,  # noqa: PLW1509
            start_new_session=True,
        )
        wait_until(lambda: RunFolder(folder / "run1").steps())
        os.killpg(shell.pid, signal.SIGINT)  # as a terminal does
        out, _ = shell.communicate(timeout=30)
        assert shell.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
        assert (folder / "run1").exists()
        assert not (folder / "run2").exists()
        assert "all done" not in out


def test_saving_by_the_clock():
    with quick_folder() as folder:
        every = "output.checkpoint_minutes=0.001"  # 60 milliseconds
        rarely = ["output.checkpoint_every=0", "evaluation.every=0", "schedule.kind=constant"]
        process = train(folder, every, *rarely, "training.steps=1000000", "output.keep=1000")
        wait_until(lambda: len(RunFolder(folder / "run").steps()) >= 4 or process.poll())
        process.terminate()
        code, talk = finish(process)
        assert code == -signal.SIGTERM, talk


def test_a_pipe_that_nobody_reads_delays_nothing():
    with quick_folder() as folder:
        settings = ["training.steps=1000000", "output.report_every=1", "evaluation.every=0"]
        settings += ["output.checkpoint_every=50", "schedule.kind=constant"]
        process = train(folder, *settings, "output.sample_every=0")
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 8192)
        wait_for_step(process, folder, 200)  # more lines than it holds
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=20) == -signal.SIGTERM
        assert newest_good(folder) is not None
        talk = process.communicate()[1]
        assert len(talk) <= 8192
        assert "step     40/1000000" in talk
        assert "step    199/1000000" not in talk
