"""As a process among others: signals, pipes, full disks, odd locales."""

import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from program import completed, program

from charlstm.cli.main import main

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("arguments", [("--help",), ("config",), ("train", "--help")])
def test_a_closed_pipe_ends_it_quietly(folder: Path, arguments: tuple[str, ...]):
    done = completed(*arguments, stdout=closed_pipe())
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reader_that_leaves_ends_a_sample(run: Path):
    pipe = f"{shlex.join(program('sample', run, '-q', '-n', 10**7))} | head -c 9 > /dev/null"
    script = f"{pipe}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"141\n", b"")


@needs_full
@pytest.mark.parametrize("arguments", [("config",), ("--help",), ("sample", "runs/c", "-q")])
def test_a_full_disk_behind_stdout_is_one_line(run: Path, arguments: tuple[str, ...]):
    with FULL.open("wb") as full:
        done = completed(*arguments, stdout=full)
    assert done.returncode == 5
    assert done.stderr.decode() == "Error: cannot write the output: No space left on device\n"


@needs_full
def test_a_full_disk_behind_stderr_does_not_hide_the_code(folder: Path):
    with FULL.open("wb") as full:
        assert completed("train", "nowhere.yaml", stderr=full, stdout=full).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("config >&-", 5, "Error: cannot write the output: Bad file descriptor\n"),
        ("sample runs/c -q >&-", 5, "Error: cannot write the output: Bad file descriptor\n"),
        ("train nowhere.yaml 2>&-", 2, ""),
        ("sample runs/c -q -n 1 -p - <&- >/dev/null", 0, ""),
        ("train c.yaml --overwrite <&- 2>&- >/dev/null", 0, ""),
    ],
)
def test_streams_that_are_closed_from_the_start(run: Path, arguments: str, code: int, message: str):
    command = shlex.join(program()) + " " + arguments
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.decode()) == (code, message)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_by_that_signal(folder: Path, number: signal.Signals):
    command = program("train", "c.yaml", "training.steps=10000000")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while "step" not in (line := process.stderr.readline()) or "/" not in line:
            assert line, "it ended"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == -number
    assert out == ""
    assert f"Stopped by {number.name} at step" in err
    assert "Continue: charlstm train c.yaml training.steps=10000000 --resume" in err
    assert "Traceback" not in err
    assert list((folder / "runs/c/checkpoints").iterdir())


def test_an_interrupted_sample_ends_by_the_signal(run: Path):
    command = program("sample", run, "-q", "-n", 10**8)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-signal.SIGINT, b"")


def test_utf8_whatever_the_locale(folder: Path):
    (folder / "text.txt").write_text("größer als ½ Ω " * 200, encoding="utf-8")
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert completed("train", "c.yaml", "-q", env=plain).returncode == 0
    done = completed("sample", "runs/c", "-q", "-n", 200, "--seed", 1, env=plain)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Ω" in done.stdout.decode("utf-8")
    for command in (("info", "runs/c"), ("config", "c.yaml")):
        done = completed(*command, env=plain)
        assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()


def test_a_prompt_from_stdin(run: Path):
    done = completed("sample", run, "-q", "-n", 5, "-p", "-", input=b"the ships ")
    assert done.returncode == 0
    assert done.stdout.startswith(b"the ships ")
    assert len(done.stdout) == 10 + 5 + 1


def test_a_sample_of_bytes_is_bytes(folder: Path):
    (folder / "b.bin").write_bytes(bytes(range(128, 256)) * 9)
    settings = ["data.files=b.bin", "data.unit=bytes", "training.steps=2"]
    assert main(["train", "c.yaml", *settings, "--out", "b", "-q"]) == 0
    options = ["-n", "300", "--seed", "3", "-q"]
    out = completed("sample", "b", *options, cwd=folder).stdout
    assert len(out) == 300 + 1
    assert b"\xef\xbf\xbd" not in out


def test_nothing_is_coloured(run: Path):
    colourful = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    for arguments in (("info", run), ("--help",), ("train", "c.yaml", "--overwrite")):
        done = completed(*arguments, env=colourful)
        assert b"\x1b" not in done.stdout + done.stderr
