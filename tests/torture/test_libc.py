"""A fault, or a kill, at every call of libc by which a run touches its files.

Other tests replace functions of Python; this one stands below it, where nothing is overlooked.
"""

import errno
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import all_that_counts, differing
from torture.forked import Forked
from torture.processes import (
    ENVIRONMENT,
    finish,
    quick_folder,
    set_up,
    steps_of,
    strays,
    train,
)

SHORT = """
data: {files: text.txt, validation_fraction: 0.4}
model: {layers: 1, hidden_size: 3, embedding_size: 0, dropout: 0.2}
training: {steps: 5, batch_size: 3, sequence_length: 4, learning_rate: 0.01, early_stopping: 0}
schedule: {kind: constant, warmup_steps: 0}
evaluation: {every: 2, characters: 0}
output: {report_every: 1, checkpoint_every: 2, sample_every: 2, sample_length: 5, keep: 1}
"""
"""Every kind of thing that a run writes, in as few calls as there can be."""
KILL, KILL_HALFWAY = -9, -10
FAULTS = (errno.EIO, errno.ENOSPC, errno.EACCES)
TRAIN = ("train", "c.yaml", "--out", "run")
OF_THE_USER = (2, 3, 5)
"""Exit codes of what a machine, or whoever uses it, can put right."""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the library that fails on purpose")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"the library that fails on purpose cannot be built: {built.stderr[-200:]}")
    return library


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as path:
        set_up(path, SHORT)
        yield path


@pytest.fixture
def forked(shim: Path, folder: Path) -> Iterator[Forked]:
    process = Forked(folder, shim)
    yield process
    process.close()


class Troubled:
    """Trainings that something happens to, and what became of them."""

    def __init__(self, forked: Forked, folder: Path, *, resumed: bool) -> None:
        self._forked = forked
        self._folder = folder
        self.count = folder.parent / f"{folder.name}.count"
        self._begun = folder.parent / f"{folder.name}.begun"
        self._complete()
        self._expected = all_that_counts(folder / "run")
        self.found: Counter[str] = Counter()
        if resumed:
            self._begin_it()

    def _complete(self) -> None:
        code, talk = self._forked.run([*TRAIN, "--resume"], {})
        assert code == 0, talk

    def _begin_it(self) -> None:
        """Keep what a run leaves behind that is killed when it has saved more than once."""
        calls = self.calls()
        self.begin()
        self.run(calls * 3 // 4, KILL)
        assert steps_of(self._folder) in (2, 4)
        (self._folder / "run").rename(self._begun)

    def begin(self) -> None:
        shutil.rmtree(self._folder / "run", ignore_errors=True)
        if self._begun.exists():
            shutil.copytree(self._begun, self._folder / "run")

    def calls(self) -> int:
        self.begin()
        self.run(0, 0)
        return self.count.stat().st_size

    def leave(self) -> None:
        self.count.unlink(missing_ok=True)
        shutil.rmtree(self._begun, ignore_errors=True)

    def setting(self, at: int, what: int, *, lasts: bool = False) -> dict[str, str]:
        self.count.unlink(missing_ok=True)
        return {
            "SHIM_UNDER": str(self._folder),
            "SHIM_COUNT": str(self.count),
            "SHIM_AT": str(at),
            "SHIM_DO": str(what),
            "SHIM_LASTS": str(int(lasts)),
        }

    def run(self, at: int, what: int, *, lasts: bool = False) -> tuple[int, str]:
        return self._forked.run([*TRAIN, "--resume"], self.setting(at, what, lasts=lasts))

    def happens(self, at: int, what: int, *, lasts: bool = False) -> None:
        self.begin()
        code, talk = self.run(at, what, lasts=lasts)
        told = f"call {at}, {what}, lasts {lasts}: exit {code}: {talk}"
        if what < 0:
            assert code in (0, -9), told
        else:
            assert code in (0, *OF_THE_USER), told
            assert "Traceback" not in talk, told
            assert "bug" not in talk, told
        if code == 0:
            assert differing(all_that_counts(self._folder / "run"), self._expected) == [], told
        self._complete()
        assert differing(all_that_counts(self._folder / "run"), self._expected) == [], told
        assert strays(self._folder) == [], told
        self.found["killed" if code < 0 else f"exit {code}"] += 1


@pytest.mark.parametrize("resumed", [False, True])
def test_at_every_call(forked: Forked, folder: Path, torture: bool, resumed: bool) -> None:
    troubled = Troubled(forked, folder, resumed=resumed)
    calls = troubled.calls()
    assert calls > 100, "the library does not see what Python does"
    for at in range(1, calls + 1) if torture else [calls * 2 // 3]:
        troubled.happens(at, KILL if at % 2 else KILL_HALFWAY)
        troubled.happens(at, FAULTS[at % 3])
        troubled.happens(at, FAULTS[at // 3 % 3], lasts=True)
    troubled.leave()
    start = "a resume" if resumed else "a run"
    print(f"libc calls of {start}: {calls}; {sum(troubled.found.values())} troubles:", end=" ")
    print(dict(sorted(troubled.found.items())))
    assert troubled.found["killed"]


def test_the_library_would_be_noticed(shim: Path, forked: Forked, folder: Path) -> None:
    """Where nothing may be written from the start, nothing is; nor by a process that no other has
    prepared, which makes the same calls.
    """
    troubled = Troubled(forked, folder, resumed=False)
    troubled.begin()
    code, talk = troubled.run(1, errno.EIO, lasts=True)
    assert code in OF_THE_USER
    assert "Input/output error" in talk
    calls = troubled.calls()
    troubled.begin()
    own = {"LD_PRELOAD": str(shim), "PYTHONSAFEPATH": "1"}  # nor looks it for modules here
    setting = troubled.setting(0, 0) | own
    assert finish(train(folder, "--resume", environment=setting))[0] == 0
    assert troubled.count.stat().st_size == calls
    troubled.begin()
    setting = troubled.setting(1, errno.EIO, lasts=True) | own
    again, same_talk = finish(train(folder, "--resume", environment=setting))
    assert (again, same_talk) == (code, talk)
    troubled.leave()
    assert ENVIRONMENT.get("LD_PRELOAD") is None
