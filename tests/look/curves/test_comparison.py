import fcntl
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
import tiny

from charlstm.errors import ConfigError, FileError
from charlstm.look.curves.comparison import (
    COLUMNS,
    RunSummary,
    differing_settings,
    names_of,
    ordered,
    summaries_of,
)
from charlstm.saved.finding import newest_of
from charlstm.saved.run_folder import RunFolder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, to be copied: a finished one, a stopped one, and one of another size."""
    folder = tmp_path_factory.mktemp("made")
    config = tiny.tiny_config(folder)
    tiny.train(config, folder / "finished")
    tiny.train(config, folder / "stopped", stop_after=7)
    other = {"model.cell": "simple", "model.layers": 1, "training.learning_rate": 0.05}
    tiny.train(tiny.tiny_config(folder, **other), folder / "other")
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def summary(path: Path) -> RunSummary:
    (found,) = summaries_of([path])
    return found


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_finished_run(runs: Path):
    found = summary(runs / "finished")
    last = tiny.newest(runs / "finished")
    assert (found.name, found.state, found.steps, found.problem) == (
        "finished",
        "finished",
        20,
        None,
    )
    assert (found.cell, found.size) == ("lstm", (2, 5))
    assert found.parameters == sum(value.size for value in last.parameters.values())
    losses = [row["val_loss"] for row in tiny.metrics(runs / "finished") if "val_loss" in row]
    assert found.best_bits_per_char == pytest.approx(min(losses) / 0.6931471805599453, rel=1e-12)
    assert found.chars_per_second > 0


def test_the_speed_is_the_median_of_the_reports(runs: Path):
    (runs / "finished" / "metrics.jsonl").write_text(
        "".join(f'{{"step": {n}, "chars_per_second": {v}}}\n' for n, v in enumerate((50, 400, 300)))
    )
    assert summary(runs / "finished").chars_per_second == 300


def test_a_stopped_run(runs: Path):
    found = summary(runs / "stopped")
    assert (found.state, found.steps) == ("stopped", 7)


def test_a_running_run_is_as_far_as_its_last_report(runs: Path):
    folder = RunFolder(runs / "stopped")
    with folder.lock(), folder.metrics.open("a") as metrics:
        metrics.write('{"step": 12, "train_loss": 2.0}\n')
        metrics.flush()
        found = summary(folder.path)
    assert (found.state, found.steps) == ("running", 12)
    assert summary(folder.path).state == "stopped"


def test_a_run_without_a_usable_checkpoint_failed(runs: Path):
    folder = RunFolder(runs / "finished")
    best = summary(folder.path).best_bits_per_char
    for path in [*folder.checkpoints.iterdir(), folder.best]:
        path.unlink(missing_ok=True)
    found = summary(folder.path)
    assert (found.state, found.problem) == ("failed", "no checkpoint was saved")
    assert (found.cell, found.size, found.parameters, found.steps) == ("lstm", (2, 5), None, 20)
    assert found.best_bits_per_char == best


def test_a_damaged_run_failed_and_says_why(runs: Path):
    folder = RunFolder(runs / "finished")
    for path in {p.resolve() for p in [*folder.checkpoints.iterdir(), folder.best]}:
        damage(path)
    found = summary(folder.path)
    assert found.state == "failed"
    assert "checksum" in found.problem or "damaged" in found.problem


def test_a_damaged_newest_checkpoint_is_passed_over(runs: Path, made: Path):
    folder = RunFolder(runs / "stopped")
    before = folder.steps()
    folder.checkpoint_path(9).write_bytes(b"nonsense")
    assert folder.steps() == [9, *before]
    assert (summary(folder.path).state, summary(folder.path).steps) == ("stopped", 7)


def test_a_run_killed_before_it_wrote_anything(tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "run.lock").touch()
    found = summary(tmp_path)
    assert (found.state, found.config, found.steps, found.chars_per_second) == (
        "failed",
        None,
        None,
        None,
    )


@pytest.mark.parametrize("make", [lambda p: None, Path.mkdir, Path.touch])
def test_what_is_no_run(tmp_path: Path, make):
    make(tmp_path / "x")
    with pytest.raises(FileError, match=r"x (does not exist|is a file|is not the folder of a run)"):
        summaries_of([tmp_path / "x"])


def test_nothing_is_written(runs: Path):
    def state() -> dict[str, tuple[int, int]]:
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in [runs, *runs.rglob("*")]}

    before = state()
    summaries_of(sorted(runs.glob("[fso]*[dr]")))
    assert state() == before


def test_a_checkpoint_that_vanishes_while_looking(runs: Path, monkeypatch: pytest.MonkeyPatch):
    """A trainer replaced it: what counts is the newer one."""
    folder = RunFolder(runs / "stopped")
    later = runs / "finished" / "checkpoints" / "step-00000020.safetensors"
    folder.best.unlink()
    real, calls = RunFolder.newest_good, []

    def newest_good(self, read):
        if not calls:
            folder.checkpoint_path(7).unlink()
            shutil.copy(later, folder.checkpoints)
            calls.append(1)
            raise FileError("gone")
        return real(self, read)

    monkeypatch.setattr(RunFolder, "newest_good", newest_good)
    assert newest_of(folder).checkpoint.progress.step == 20


# The lock


def test_asking_leaves_the_lock_alone(tmp_path: Path):
    folder = RunFolder(tmp_path)
    assert not folder.is_in_use()
    assert list(tmp_path.iterdir()) == []
    folder.create()
    with folder.lock():
        written = folder.lock_file.read_bytes()
        assert folder.is_in_use()
        assert folder.lock_file.read_bytes() == written
    assert not folder.is_in_use()


def test_asking_does_not_see_others_who_ask(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.lock_file.touch()
    with folder.lock_file.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not folder.is_in_use()


def test_a_trainer_that_starts_while_somebody_asks_gets_the_lock(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.create()
    folder.lock_file.touch()
    asking = os.open(folder.lock_file, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    threading.Timer(0.01, lambda: os.close(asking)).start()
    started = time.monotonic()
    with folder.lock():
        pass
    assert time.monotonic() - started < 5


# Between runs


def test_settings_that_differ(runs: Path):
    found = differing_settings(summaries_of([runs / "finished", runs / "other", runs / "stopped"]))
    assert found == {
        "model.cell": ["lstm", "simple", "lstm"],
        "model.layers": [2, 1, 2],
        "training.learning_rate": [0.02, 0.05, 0.02],
    }


def test_equal_runs_differ_in_nothing(runs: Path):
    assert differing_settings(summaries_of([runs / "finished", runs / "stopped"])) == {}


def test_the_same_text_elsewhere_is_no_difference(runs: Path, tmp_path: Path):
    for place, text in (("moved", tiny.TEXT), ("changed", tiny.TEXT + "...")):
        (tmp_path / place).mkdir()
        tiny.train(tiny.tiny_config(tmp_path / place, text), tmp_path / place / "run")
    moved, changed = ([runs / "finished", tmp_path / p / "run"] for p in ("moved", "changed"))
    assert differing_settings(summaries_of(moved)) == {}
    assert list(differing_settings(summaries_of(changed))) == ["data.files"]


def test_a_run_that_tells_nothing_differs_in_nothing(runs: Path, tmp_path: Path):
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.lock").touch()
    found = differing_settings(summaries_of([runs / "finished", tmp_path / "begun"]))
    assert found == {}


def some(name: str, **values) -> RunSummary:
    blank = dict.fromkeys(RunSummary.__dataclass_fields__)
    return RunSummary(**(blank | {"name": name, "state": "finished"} | values))


def names(runs: list[RunSummary]) -> str:
    return "".join(run.name for run in runs)


def test_order_by_a_column():
    runs = [some("a", steps=5), some("b"), some("c", steps=1), some("d", steps=5)]
    assert names(ordered(runs, "steps")) == "cadb"
    assert names(ordered(runs, "steps", reverse=True)) == "adcb"
    assert names(ordered(runs, "name", reverse=True)) == "dcba"
    assert names(ordered(runs, "bits")) == "abcd"


def test_order_by_a_setting(runs: Path):
    found = summaries_of([runs / "other", runs / "finished"])
    assert [r.name for r in ordered(found, "training.learning_rate")] == ["finished", "other"]


def test_every_column_can_be_sorted_by(runs: Path, tmp_path: Path):
    (tmp_path / "run.lock").touch()
    found = summaries_of([runs / "other", tmp_path, runs / "stopped"])
    for column in COLUMNS:
        assert len(ordered(found, column)) == 3


@pytest.mark.parametrize("column", ["bit", "model.size", "", "x" * 1000])
def test_order_by_nothing_that_there_is(column: str):
    with pytest.raises(ConfigError, match="columns are name, cell, size") as caught:
        ordered([], column)
    assert len(str(caught.value)) < 250


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert names_of([Path("runs/a"), Path("runs/b/")]) == ["a", "b"]
    assert names_of([Path("x/a"), Path("y/a")]) == ["x/a", "y/a"]
    assert names_of([Path()]) == [tmp_path.name]
    assert names_of([Path("evil\x1b[2J")]) == [r"evil\x1b[2J"]
