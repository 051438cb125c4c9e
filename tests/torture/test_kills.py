"""SIGKILL at random instants of real trainings: nothing lost, nothing different afterwards."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import tiny
from tiny import all_that_counts, differing, tiny_config
from torture.processes import (
    TORTURE,
    complete,
    finish,
    names,
    newest_good,
    quick_folder,
    steps_of,
    strays,
    train,
    wait_for_step,
)

from charlstm.saved.checkpoint import read_checkpoint
from charlstm.saved.run_folder import RunFolder

RUNS = 2 * TORTURE
KILLS_A_RUN = 5
LARGER = "model.hidden_size=64"  # a saving that takes as long as a step is hit as often
SEED = int(os.environ.get("TORTURE_SEED", "1"))


def killed_once(folder: Path, rng: random.Random) -> bool:
    """Start or resume the run in ``folder`` and kill it somewhere; False if it was faster."""
    process = train(folder, LARGER, "--resume", "--quiet")
    if rng.random() < 0.8:  # else while it starts
        wait_for_step(process, folder, steps_of(folder) + 1)
    time.sleep(rng.uniform(0, 0.25))
    process.send_signal(signal.SIGKILL)
    code, talk = finish(process)
    assert code in (0, -signal.SIGKILL), talk
    return code != 0


def test_killed_trainings_end_as_if_nothing_had_happened():
    rng = random.Random(SEED)
    figures = {"runs": 0, "kills": 0, "in mid-save": 0, "unusable": 0, "strays left": 0}
    with quick_folder() as reference:
        complete(reference, LARGER, "--quiet")
        expected, files = all_that_counts(reference / "run"), names(reference / "run")
    for _ in range(RUNS):
        with quick_folder() as folder:
            one_run(folder, rng, figures)
            outcome = all_that_counts(folder / "run")
            assert differing(outcome, expected) == []
            assert names(folder / "run") == files
            figures["strays left"] += len(strays(folder))
            figures["runs"] += 1
    print(f"SIGKILL of trainings, seed {SEED}: {figures}")
    assert figures["strays left"] == figures["unusable"] == 0
    assert figures["kills"] > KILLS_A_RUN * RUNS / 2


def one_run(folder: Path, rng: random.Random, figures: dict[str, int]) -> None:
    last = 0
    for _ in range(KILLS_A_RUN):
        if not killed_once(folder, rng):
            break
        figures["kills"] += 1
        left = strays(folder)
        assert len(left) <= 1
        figures["in mid-save"] += len(left)
        step = look_at(folder, figures)
        assert step >= last, "a step that was there is lost"
        last = step
    complete(folder, LARGER, "--resume", "--quiet")


def look_at(folder: Path, figures: dict[str, int]) -> int:
    """The newest step, after reading it and the best one."""
    checkpoint = newest_good(folder)
    if checkpoint is None:
        return 0
    best = folder / "run" / "best.safetensors"
    try:
        if best.exists():
            read_checkpoint(best)
    except Exception as error:
        print(error)
        figures["unusable"] += 1
    return checkpoint.progress.step


def test_a_killed_holder_holds_nothing():
    """The lock of a killed trainer does not stop the next one, not even for a moment."""
    with quick_folder() as folder:
        process = train(folder, "training.steps=1000000")
        wait_for_step(process, folder, 3)
        process.kill()
        finish(process)
        assert (folder / "run" / "run.lock").read_text().startswith(f"process {process.pid} on ")
        talk = complete(folder, "--resume", f"training.steps={steps_of(folder) + 2}")
        assert "Resuming at step" in talk


@pytest.mark.parametrize("begun", [True, False])
def test_a_kill_between_saving_and_marking_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
):
    """The one instant that random kills rarely meet, met on purpose: early, and at the end."""
    config = tiny_config(tmp_path)
    tiny.train(config, tmp_path / "straight")
    if begun:
        tiny.train(config, tmp_path / "run", stop_after=18)

    def killed(run: RunFolder, step: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "mark_best", killed)
    with pytest.raises(KeyboardInterrupt):
        tiny.train(config, tmp_path / "run", resume=True)
    monkeypatch.undo()
    tiny.train(config, tmp_path / "run", resume=True)
    expected = all_that_counts(tmp_path / "straight")
    assert differing(all_that_counts(tmp_path / "run"), expected) == []
