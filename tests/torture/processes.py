"""Real `charlstm` processes, to be killed, stopped, starved and compared."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from places import ROOT
from tiny import TEXT

from charlstm.saved.checkpoint import Checkpoint, read_checkpoint
from charlstm.saved.run_folder import RunFolder

TORTURE = int(os.environ.get("CHARLSTM_TORTURE", "1"))
CHARLSTM = [sys.executable, "-m", "charlstm"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CHARLSTM_")} | {
    "PYTHONPATH": str(ROOT),
    "OPENBLAS_NUM_THREADS": "1",
    "COLUMNS": "200",
}

CONFIG = """
data: {files: text.txt, validation_fraction: 0.4}
model: {layers: 2, hidden_size: 6, embedding_size: 0, dropout: 0.2}
training: {steps: 400, batch_size: 3, sequence_length: 4, learning_rate: 0.01, early_stopping: 0}
schedule: {kind: plateau, patience: 3, decay: 0.8, warmup_steps: 0}
evaluation: {every: 5, characters: 0}
output: {report_every: 3, checkpoint_every: 1, sample_every: 7, sample_length: 5}
"""
"""Saves at every step, and uses all that a checkpoint must restore."""


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder with c.yaml and text.txt, in memory if possible: saving waits for no disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="charlstm-", dir=memory) as name:
        folder = Path(name)
        set_up(folder)
        yield folder


def set_up(folder: Path, config: str = CONFIG) -> None:
    (folder / "text.txt").write_text(TEXT)
    (folder / "c.yaml").write_text(config)


def undisturbed() -> None:
    """Signals as a terminal has them, however these tests were started (nohup, &)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)


def start(
    folder: Path,
    *arguments: str,
    before: Callable[[], None] = undisturbed,
    environment: dict[str, str] | None = None,
    under: Sequence[str] = (),
    **others: Any,
) -> "subprocess.Popen[str]":
    """``charlstm ARGUMENTS`` in ``folder``, after the words ``under``."""
    return subprocess.Popen(
        [*under, *CHARLSTM, *arguments],
        cwd=folder,
        env=ENVIRONMENT | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,  # noqa: PLW1509 - the tests have no threads
        **others,
    )


def train(folder: Path, *arguments: str, **others: Any) -> "subprocess.Popen[str]":
    return start(folder, "train", "c.yaml", "--out", "run", *arguments, **others)


def finish(process: "subprocess.Popen[str]", seconds: float = 60) -> tuple[int, str]:
    """Exit code and stderr; a process that does not end is killed and a failure."""
    try:
        _, talk = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, talk = process.communicate()
        raise AssertionError(f"still running after {seconds} s: {talk[-500:]}") from None
    return process.returncode, talk


def complete(folder: Path, *arguments: str, code: int = 0, **others: Any) -> str:
    """Train to the end; returns stderr."""
    found, talk = finish(train(folder, *arguments, **others))
    assert found == code, talk
    return talk


def steps_of(folder: Path) -> int:
    """The newest step that is saved."""
    steps = RunFolder(folder / "run").steps()
    return steps[0] if steps else 0


def wait_for_step(process: "subprocess.Popen[str]", folder: Path, step: int) -> None:
    wait_until(lambda: steps_of(folder) >= step or process.poll() is not None)


def wait_until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def newest_good(folder: Path) -> Checkpoint | None:
    """Raises if a run is there and none of its checkpoints can be used; none may be damaged."""
    found = RunFolder(folder / "run").newest_good(read_checkpoint)
    if found is None:
        return None
    assert found.damaged == []
    return found.loaded


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def strays(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp-*"))
