"""A folder to work in, a run to look at, and two ways to call the program."""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from charlstm.cli.main import main

CONFIG = """\
data:
  files: text.txt
model:
  layers: 1
  hidden_size: 8
  embedding_size: 0
  dropout: 0
training:
  batch_size: 4
  sequence_length: 10
  epochs: 50
  steps: 20
  learning_rate: 2e-3
  early_stopping: 0
schedule:
  kind: constant
  warmup_steps: 0
  minimum: 0
  patience: 2
evaluation:
  every: 10
  characters: 0
output:
  report_every: 5
  checkpoint_every: 10
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Result]
Refuse = Callable[..., str]


def some_text(words: int = 500) -> str:
    rng = random.Random(7)
    return " ".join(rng.choice(["the", "harbour", "was", "quiet", "ships"]) for _ in range(words))


def lay_out(folder: Path) -> None:
    (folder / "text.txt").write_text(some_text())
    (folder / "c.yaml").write_text(CONFIG)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with c.yaml and text.txt in it."""
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """`charlstm train` sets variables for BLAS; the next test must not see them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def call(folder: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process."""

    def called(*arguments: object) -> Result:
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return called


@pytest.fixture
def refuse(call: Call) -> Refuse:
    """Run what must fail with this code and one clear line; returns the line."""

    def refused(code: int, *arguments: object) -> str:
        result = call(*arguments)
        assert result.out == ""
        line, *more = result.err.splitlines()
        assert more == []
        assert line.startswith("Error: ")
        assert len(line) < 400
        assert result.code == code, line
        return line

    return refused


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run in it, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    lay_out(folder)
    assert main(["train", str(folder / "c.yaml"), "--out", str(folder / "run"), "-q"]) == 0
    return folder


@pytest.fixture
def run(folder: Path, made: Path) -> Path:
    """A finished run of c.yaml, relative to the working directory."""
    shutil.copytree(made / "run", folder / "runs" / "c")
    return Path("runs/c")
