"""Pipes, devices, folders and links in every place where a path is read: one line, no waiting."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from tiny import forge

LONGEST = 20  # seconds, on a machine that does much else

KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "empty": lambda path: path.symlink_to("/dev/null"),
    "folder": lambda path: path.mkdir(),
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
}

PLACES: dict[str, tuple[str, list[str]]] = {
    "a configuration to train": ("x.yaml", ["train", "x.yaml", "--out", "new"]),
    "a configuration to show": ("x.yaml", ["config", "x.yaml"]),
    "a text to train on": ("x.txt", ["train", "x.txt", "--out", "new"]),
    "a list of items not to write": ("x.txt", ["sample", "RUN", "--not-in", "x.txt"]),
    "a text to learn from": ("x.txt", ["adapt", "RUN", "x.txt", "-o", "new.ckpt"]),
    "a text to adapt to": ("x.txt", ["sample", "RUN", "--adapt-to", "x.txt", "--length", "3"]),
    "a text with copies": ("x.txt", ["originality", "RUN", "x.txt"]),
    "a text that was copied": ("x.txt", ["originality", "RUN", "--text", "x.txt"]),
    "a text held out": ("x.txt", ["train", "c.yaml", "data.test_files=x.txt", "--out", "new"]),
    "the text of a run": ("x.txt", ["train", "c.yaml", "data.files=x.txt", "--out", "new"]),
    "a model to start from": ("x", ["train", "c.yaml", "init_from=x", "--out", "new"]),
    "a checkpoint to sample": ("x", ["sample", "x", "--length", "3"]),
    "a checkpoint to show": ("x", ["info", "x"]),
    "a checkpoint to verify": ("x", ["info", "x", "--verify"]),
    "a checkpoint to export": ("x", ["export", "x", "-o", "new.npz"]),
    "a checkpoint to evaluate": ("x", ["eval", "x", "text.txt"]),
    "a text to evaluate": ("x.txt", ["eval", "RUN", "x.txt"]),
    "a text to look at": ("x.txt", ["look", "RUN", "x.txt", "-o", "new.html"]),
    "a prompt": ("x.txt", ["sample", "RUN", "--prompt-file", "x.txt", "--length", "3"]),
    "a model to import": ("x", ["import", "x", "--bytes", "-o", "new"]),
    "the characters of a model": (
        "x.json",
        ["import", "m.safetensors", "--vocabulary", "x.json", "-o", "new"],
    ),
    "the text of a model": (
        "x.txt",
        ["import", "m.safetensors", "--vocabulary-from", "x.txt", "-o", "new"],
    ),
    "metrics to report": ("RUN/metrics.jsonl", ["report", "RUN", "-o", "new.html"]),
    "metrics to plot": ("RUN/metrics.jsonl", ["plot", "RUN"]),
    "metrics to compare": ("RUN/metrics.jsonl", ["compare", "RUN"]),
    "samples to report": ("RUN/samples.txt", ["report", "RUN", "-o", "new.html"]),
    "the best checkpoint": ("RUN/best.safetensors", ["info", "RUN"]),
    "the newest checkpoint": (
        "RUN/checkpoints/step-00000020.safetensors",
        ["info", "RUN", "--verify"],
    ),
    "a checkpoint to go on from": (
        "RUN/checkpoints/step-00000020.safetensors",
        ["train", "c.yaml", "--resume", "--out", "RUN", "training.steps=22"],
    ),
    "metrics to go on with": (
        "RUN/metrics.jsonl",
        ["train", "c.yaml", "--resume", "--out", "RUN", "training.steps=22"],
    ),
}
READ_PAST = {  # where a file that cannot be read is no error
    "a checkpoint to go on from",
    "metrics to compare",
    "samples to report",
    "metrics to report",
    "metrics to plot",
}


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A read that waits ends the test, not the tests."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still waiting after {LONGEST} s")

    assert threading.current_thread() is threading.main_thread()
    usual = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, usual)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_is_one_line(folder: Path, run: Path, call, place: str, kind: str):
    copy = folder / "copy"
    shutil.copytree(run, copy)
    if "m.safetensors" in PLACES[place][1]:
        assert call("export", run, "-o", "m.safetensors").code == 0
    name, words = PLACES[place]
    path = folder / name.replace("RUN", str(copy))
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    began = time.monotonic()
    result = call(*(word.replace("RUN", str(copy)) for word in words))
    assert time.monotonic() - began < LONGEST
    assert "Traceback" not in result.err
    if result.code == 0:
        assert place in READ_PAST or kind in ("empty", "dangling"), result.err
    else:
        assert result.code in (2, 3, 5), result.err
        last = result.err.splitlines()[-1]
        assert last.startswith("Error: ")
        assert last.isprintable()


def test_a_configuration_from_a_pipe_that_somebody_writes(folder: Path, call):
    """As in ``charlstm config <(generate)``: open at its other end before anything is written."""
    reading, writing = os.pipe()

    def write() -> None:
        os.write(writing, (folder / "c.yaml").read_bytes())
        os.close(writing)

    late = threading.Timer(0.3, write)
    late.start()
    result = call("config", f"/dev/fd/{reading}")
    late.join()
    os.close(reading)
    assert (result.code, "batch_size: 4" in result.out) == (0, True)


def test_a_pipe_nobody_writes_into_is_named(folder: Path, refuse):
    os.mkfifo(folder / "p.yaml")
    assert "p.yaml: is a pipe, and nobody writes into it" in refuse(2, "config", "p.yaml")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_held_out_text_of_one_character(folder: Path, refuse, part: str):
    (folder / "v.txt").write_text("t")
    line = refuse(3, "train", "c.yaml", f"data.{part}_files=v.txt", "--out", "new", "-q")
    assert line.endswith("v.txt: has 1 characters; there is nothing to predict")


NAME = "a\x1b[2J\u202e\u2028b"


def test_hostile_names_are_shown_as_escapes(
    folder: Path, run: Path, call, monkeypatch: pytest.MonkeyPatch
):
    """Nothing that moves a cursor on stderr, on a page, or on a terminal's stdout."""
    text, out = folder / f"{NAME}.txt", folder / NAME
    shutil.copy(folder / "text.txt", text)
    file = run / "checkpoints/step-00000020.safetensors"
    forge(file, lambda arrays, state: state.update(versions={NAME: NAME}, fingerprint=NAME))
    words = ["c.yaml", f"data.files={text}"]
    for terminal in (False, True):
        for command in (
            ["train", *words, "--out", out, "--overwrite"],
            ["train", *words, "--out", out, "--dry-run"],
            ["train", *words, "--out", out],
            ["export", run, "-o", f"{NAME}.safetensors"],
            ["import", f"{NAME}.safetensors", "-o", f"{NAME}.ckpt"],
            ["report", run, "-o", f"{NAME}.html"],
            ["compare", out, run],
        ):
            monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
            result = call(*command)
            assert all(c.isprintable() or c in "\n\t" for c in result.err), command
            if terminal or command[0] == "compare":
                assert all(c.isprintable() or c == "\n" for c in result.out), command
            elif command[0] in ("export", "import"):
                assert result.out == f"{command[-1]}\n"
    page = (folder / f"{NAME}.html").read_text()
    assert all(c.isprintable() or c in "\n\t" for c in page)
