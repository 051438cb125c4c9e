"""Signals from the first millisecond on, while Python, charlstm and NumPy are being loaded."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tiny import all_that_counts, differing
from torture.processes import TORTURE, complete, finish, quick_folder, strays, train
from torture.test_stopping import SEED, STOPPING

AT_AN_IMPORT = """
import os, sys

at, number = map(int, os.environ["SIGNAL_AT_IMPORT"].split())
seen = 0

def hook(event, arguments):
    global seen
    if event == "import" and (seen or arguments[0] == "charlstm.cli.main"):
        seen += 1
        if seen == at:
            os.kill(os.getpid(), number)

sys.addaudithook(hook)
"""
ALL_IMPORTS = 10**6


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, Any]:
    with quick_folder() as folder:
        complete(folder, "--quiet", "training.steps=30")
        return all_that_counts(folder / "run")


def started(folder: Path, at: int, number: signal.Signals) -> tuple[int, str]:
    """A training that gets the signal at the ``at``-th import after those of Python itself."""
    (folder / "sitecustomize.py").write_text(AT_AN_IMPORT)
    environment = {"SIGNAL_AT_IMPORT": f"{at} {int(number)}"}
    path = train.__globals__["ENVIRONMENT"]["PYTHONPATH"]
    environment["PYTHONPATH"] = f"{folder}:{path}"
    return finish(train(folder, "--quiet", "training.steps=30", environment=environment))


def test_ctrl_c_at_any_import_ends_it_without_a_word():
    places = range(1, ALL_IMPORTS) if TORTURE > 1 else [1, 2, 30, 150, 300, 400]
    interrupted = 0
    for at in places:
        with quick_folder() as folder:
            code, talk = started(folder, at, signal.SIGINT)
        if code == 0:
            break  # there are no more imports
        assert (code, talk) == (-signal.SIGINT, ""), at
        interrupted += 1
    print(f"SIGINT at imports: {interrupted}, none with a word")
    assert interrupted >= 3


def test_usr1_at_any_import_is_passed_over(uninterrupted: dict[str, Any]):
    for at in range(1, 400, 40) if TORTURE > 1 else [1, 200]:
        with quick_folder() as folder:
            code, talk = started(folder, at, signal.SIGUSR1)
            assert (code, talk) == (0, ""), at
            assert differing(all_that_counts(folder / "run"), uninterrupted) == []


def test_signals_at_random_instants_from_the_first_millisecond(uninterrupted: dict[str, Any]):
    rng = random.Random(SEED)
    figures = {"signals": 0, "before charlstm": 0, "saved": 0, "finished": 0}
    with quick_folder() as folder:
        begun = time.monotonic()
        complete(folder, "--quiet", "training.steps=30")
        whole = time.monotonic() - begun
    for _ in range(TORTURE):
        for number in (*STOPPING, signal.SIGUSR1):
            with quick_folder() as folder:
                process = train(folder, "--quiet", "training.steps=30")
                time.sleep(rng.uniform(0, whole))
                process.send_signal(number)
                look_at(folder, number, *finish(process), figures)
                complete(folder, "--quiet", "--resume", "training.steps=30")
                assert strays(folder) == []
                assert differing(all_that_counts(folder / "run"), uninterrupted) == []
    print(f"signals from the first millisecond on, seed {SEED}: {figures}")


def look_at(
    folder: Path, number: signal.Signals, code: int, talk: str, figures: dict[str, int]
) -> None:
    figures["signals"] += 1
    if "charlstm" not in talk and code not in (0, -number):  # Python's own start, by its own rules
        figures["before charlstm"] += 1
        return
    if talk:  # Python had put its own handler in place, and had not reached ours
        assert "KeyboardInterrupt" in talk
        assert "charlstm/cli" not in talk
        figures["before charlstm"] += 1
    elif code == 0:
        figures["finished"] += 1
    else:
        assert code == -number
        figures["saved"] += (folder / "run" / "checkpoints").exists()
