"""What a person sees who sits at a terminal: a bar that fits, and above it how the model learns."""

import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from program import program

ENDLESS = ["training.steps=10000000", "evaluation.every=50", "training.workers=1"]


def open_terminal(columns: int) -> tuple[int, int]:
    """The two ends of a pseudo terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    return ours, theirs


def read_until(descriptor: int, pattern: str, seconds: float) -> str:
    """What comes, up to a match of ``pattern``; or, of an empty one, all of it."""
    text, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        text += piece
        if pattern and re.search(pattern, text.decode("utf-8", "replace")):
            break
    return text.decode("utf-8", "replace")


def watch(arguments: list[str], until: str, folder: Path, columns: int) -> str:
    """What a program writes on a terminal of so many columns; interrupted after ``until``."""
    ours, theirs = open_terminal(columns)
    process = subprocess.Popen(
        program(*arguments),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        text = read_until(ours, until, 100)
        if until:
            process.send_signal(signal.SIGINT)
            text += read_until(ours, "", 100)
        process.wait(100)
    finally:
        process.kill()
        os.close(ours)
    return text


def test_a_training(folder: Path):
    text = watch(["train", "c.yaml", *ENDLESS], r"--- step \d+\r?\n[^\r]*\r", folder, 60)
    bars = [line for line in re.split(r"[\r\n]+", text) if re.match(r" *\d+%", line)]
    assert bars
    assert max(map(len, bars)) <= 60
    assert re.search(r"loss \d\.\d{3}  val \d\.\d{3}  (best \d\.\d{3}  )?\d\S* \S+ left", bars[-1])
    assert re.search(r"[\r\n]step +\d+/10000000  val \d\.\d{4} nats, \d\.\d{4} bits/char", text)
    assert "--- step " in text
    assert re.search(r"Stopped by SIGINT at step [\d,]+; saved\.", text)
    assert not (folder / "runs/c/samples.txt").exists()


def test_the_end_of_a_training(folder: Path):
    text = watch(["train", "c.yaml"], "", folder, 80)
    table = text[text.index("Bits per character on the validation part:") :]
    assert re.search(
        r"\d\.\d{3}  frequencies of the characters\s+"
        r"\d\.\d{3}  xz, after the training part\s+"
        r"\d\.\d{3}  5 characters of context, counted\s+"
        r"\d\.\d{3}  this model\s+"
        r"A sample:\s",
        table,
    )
    assert table.rstrip().endswith("Try: charlstm sample runs/c")
    assert "charlstm report runs/c -o report.html" in table
    assert re.search(r"charlstm look runs/c \S+text\.txt -o page\.html", table)


def test_the_end_says_on_how_much_simple_methods_were_tried(
    folder: Path, call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("charlstm.text.baselines.MOST_TRAINING", 900)
    monkeypatch.setattr("charlstm.text.baselines.MOST_VALIDATION", 200)
    told = call("train", "c.yaml", "data.unit=bytes", "training.workers=1").err
    assert (
        "Bits per byte on the validation part (simple methods: on its first 200 bytes, after 900 of"
        " the training part):" in told
    )
    assert "5 bytes of context, counted" in told


def test_an_evaluation_of_a_long_text(run: Path, folder: Path):
    (folder / "long.txt").write_text((folder / "text.txt").read_text() * 1000)
    text = watch(["eval", str(run), "long.txt"], r"\d+% .* of [\d,]+, \S+ left", folder, 60)
    assert max(len(line) for line in re.split(r"[\r\n]+", text) if "%" in line) <= 60


def test_a_short_evaluation_shows_no_bar(run: Path, folder: Path):
    assert "%" not in watch(["eval", str(run), "text.txt"], "", folder, 60)


def test_an_encoding_that_lacks_characters(folder: Path, call):
    (folder / "cyrillic.txt").write_text("жук " * 500)
    assert call("train", "c.yaml", "cyrillic.txt", "-q", "--out", "runs/z").code == 0
    command = [sys.executable, "-m", "charlstm", "next", "runs/z", "жу"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert rb"\u043a" in done.stdout
