"""A run and its folder: begun, refused, resumed, gone back, started from another."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import (
    TEXT,
    all_that_counts,
    differing,
    forge,
    metrics,
    newest,
    tiny_config,
    train,
    weights,
)

from charlstm.config.reading import load_config
from charlstm.errors import (
    ConfigError,
    DivergedError,
    FileError,
    RunFolderTakenError,
    SystemRefusedError,
)
from charlstm.look.curves.comparison import summaries_of
from charlstm.saved.checkpoint import load_model
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.training import run
from charlstm.training.resuming import Options


def files(folder: Path) -> dict[str, bytes]:
    everything = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in everything}


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] = (content[-9] + 1) % 256
    path.write_bytes(content)


# Beginning


def test_a_run_leaves_these_files(tmp_path: Path):
    config = tiny_config(tmp_path, **{"output.sample_every": 10})
    assert train(config, tmp_path / "a" / "run").reason == "finished"
    assert sorted(files(tmp_path / "a")) == [
        "run/best.safetensors",
        "run/checkpoints/step-00000015.safetensors",  # an evaluation that was the best so far
        "run/checkpoints/step-00000020.safetensors",
        "run/config.yaml",
        "run/metrics.jsonl",
        "run/run.lock",
        "run/samples.txt",
    ]
    assert load_config(tmp_path / "a/run/config.yaml") == config  # what was really used


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path: Path):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "run", stop_after=3)
    before = files(tmp_path / "run")
    with pytest.raises(RunFolderTakenError, match=r"already holds a run.*--resume.*--overwrite"):
        train(config, tmp_path / "run")
    assert files(tmp_path / "run").keys() == before.keys()
    assert {**files(tmp_path / "run"), "run.lock": b""} == {**before, "run.lock": b""}


def test_a_run_can_be_overwritten(tmp_path: Path):
    train(tiny_config(tmp_path, seed=5), tmp_path / "run")
    expected = tmp_path / "expected"
    train(tiny_config(tmp_path), expected)
    options = Options(overwrite=True, quiet=True)
    run.run_training(tiny_config(tmp_path), tmp_path / "run", options, lambda line: None)
    assert differing(all_that_counts(tmp_path / "run"), all_that_counts(expected)) == []


def test_resume_starts_a_run_that_was_never_begun_or_never_saved(tmp_path: Path):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "a", resume=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.jsonl").write_text('{"step": 3}\n{"st')  # killed before step 5
    train(config, tmp_path / "b", resume=True)
    a, b = (all_that_counts(tmp_path / name) for name in "ab")
    assert differing(a, b) == []
    assert metrics(tmp_path / "b")[0]["step"] == 3


@pytest.mark.parametrize("settings", [{}, {"evaluation.every": 0, "output.checkpoint_every": 5}])
def test_a_run_that_has_lost_its_checkpoints_is_not_forgotten(
    tmp_path: Path, settings: dict[str, int]
):
    config = tiny_config(tmp_path, **settings)
    train(config, tmp_path / "run")
    for checkpoint in (tmp_path / "run").rglob("*.safetensors"):
        checkpoint.unlink()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(
        RunFolderTakenError, match=r"lost its checkpoints.* step 20\. .*--overwrite"
    ):
        train(config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_run_that_never_had_a_checkpoint_starts_again_and_says_so(tmp_path: Path):
    config, said = tiny_config(tmp_path), []
    RunFolder(tmp_path / "run").create()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 3}\n{"step": 5, "improved": true}\n')
    assert train(config, tmp_path / "run", resume=True, say=said.append).reason == "finished"
    assert any("holds no checkpoint; starting again at step 0" in line for line in said)


def test_many_files_are_announced_as_many(tmp_path: Path):
    config, said = tiny_config(tmp_path), []
    for number in range(9):
        (tmp_path / f"part{number}.txt").write_text(TEXT)
    config = replace(config, data=replace(config.data, files=(str(tmp_path / "part*.txt"),)))
    train(config, tmp_path / "run", say=said.append)
    start = f"part0.txt, part1.txt, part2.txt and 6 more: {9 * len(TEXT):,} characters, "
    assert said[0].startswith(start)


@pytest.mark.parametrize(
    ("name", "steps"), [("metrics.jsonl", 9), ("metrics.jsonl", 20), ("samples.txt", 20)]
)
@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_resuming_leaves_alone_what_links_in_a_run_folder_lead_to(
    tmp_path: Path, name: str, kind: str, steps: int
):
    sampled = {"output.sample_every": 4, "output.sample_length": 5}
    config = tiny_config(tmp_path, **{"training.steps": steps}, **sampled)
    train(config, tmp_path / "run", stop_after=9)
    file, precious = tmp_path / "run" / name, tmp_path / "precious"
    content = file.read_bytes() + b"and more\n"
    precious.write_bytes(content)
    file.unlink()
    if kind == "link":
        file.symlink_to(precious)
        with pytest.raises(SystemRefusedError, match=f"{name}: .*remove the link"):
            train(config, tmp_path / "run", resume=True)
    else:
        os.link(precious, file)
        train(config, tmp_path / "run", resume=True)
        assert file.read_bytes() != content
    assert precious.read_bytes() == content


def test_a_snapshot_of_hard_links_can_be_resumed_and_the_original_stays(tmp_path: Path):
    sampled = {"output.sample_every": 4, "output.sample_length": 5}
    config = tiny_config(tmp_path, **sampled)
    train(config, tmp_path / "run", stop_after=9)
    before = files(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "snapshot", copy_function=os.link)
    train(config, tmp_path / "snapshot", resume=True)
    assert files(tmp_path / "run") == before
    train(config, tmp_path / "run", resume=True)
    a, b = (all_that_counts(tmp_path / name) for name in ("run", "snapshot"))
    assert differing(a, b) == []


def test_one_folder_one_trainer(tmp_path: Path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    with folder.lock(), pytest.raises(RunFolderTakenError, match=f"process {os.getpid()} on "):
        train(tiny_config(tmp_path), folder.path)


def test_what_this_machine_cannot_hold_is_refused_from_the_estimate(tmp_path: Path):
    config = tiny_config(tmp_path, **{"model.hidden_size": 1_000_000, "model.layers": 5})
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"this model needs about [0-9,.]+ GB.*hidden_size"):
        train(config, tmp_path / "run")
    assert time.monotonic() - began < 1
    assert not (tmp_path / "run").exists()


def test_a_text_too_short_is_refused_before_anything_is_made(tmp_path: Path):
    config = tiny_config(tmp_path, **{"training.sequence_length": 100})
    with pytest.raises(FileError, match="too short"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Going on


MAY_CHANGE = {
    "training.learning_rate": 0.5,
    "training.clip_norm": 0.1,
    "training.early_stopping": 50,
    "schedule.kind": "cosine",
    "evaluation.every": 2,
    "output.report_every": 1,
    "output.keep": 9,
    "output.checkpoint_every": 3,
    "training.steps": 25,
}
MUST_NOT_CHANGE = {
    "seed": 2,
    "model.cell": "simple",
    "model.layers": 3,
    "model.hidden_size": 6,
    "model.embedding_size": 2,
    "model.dropout": 0.1,
    "model.dtype": "float64",
    "training.batch_size": 2,
    "training.sequence_length": 5,
    "training.optimizer": "sgd",
    "training.beta1": 0.8,
    "data.unit": "bytes",
    "data.validation_fraction": 0.3,
    "data.newlines": "normalize",
}


@pytest.mark.parametrize("name", MAY_CHANGE)
def test_what_may_change(tmp_path: Path, name: str):
    train(tiny_config(tmp_path), tmp_path / "run", stop_after=7)
    changed = tiny_config(tmp_path, **{name: MAY_CHANGE[name]})
    assert train(changed, tmp_path / "run", resume=True).reason == "finished"
    assert load_config(tmp_path / "run" / "config.yaml") == changed


@pytest.mark.parametrize("name", MUST_NOT_CHANGE)
def test_what_must_not_change_is_named(tmp_path: Path, name: str):
    train(tiny_config(tmp_path), tmp_path / "run", stop_after=7)
    before = files(tmp_path / "run")
    changed = tiny_config(tmp_path, **{name: MUST_NOT_CHANGE[name], "output.keep": 7})
    with pytest.raises(ConfigError) as caught:
        train(changed, tmp_path / "run", resume=True)
    message = str(caught.value)
    assert f"other settings: {name} is {MUST_NOT_CHANGE[name]} (checkpoint: " in message
    assert "output.keep" not in message
    assert {**files(tmp_path / "run"), "run.lock": b""} == {**before, "run.lock": b""}


def same_elsewhere(folder: Path) -> dict[str, Any]:
    (folder / "moved.txt").write_bytes((folder / "text.txt").read_bytes())
    return {"data.files": [str(folder / "moved.txt")]}


def touched(folder: Path) -> dict[str, Any]:
    os.utime(folder / "text.txt", (1, 1))
    return {}


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "appended": lambda text: text + b"x",
    "shortened": lambda text: text[:-1],
    "one byte": lambda text: b"T" + text[1:],
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "a new character": lambda text: text[:-2] + "é".encode(),
}


@pytest.mark.parametrize("change", [same_elsewhere, touched])
def test_the_same_text_anywhere_and_of_any_date_will_do(
    tmp_path: Path, change: Callable[[Path], dict[str, Any]]
):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "straight")
    train(config, tmp_path / "run", stop_after=7)
    moved = replace(
        config,
        data=replace(
            config.data, files=tuple(change(tmp_path).get("data.files", config.data.files))
        ),
    )
    train(moved, tmp_path / "run", resume=True)
    assert differing(*(all_that_counts(tmp_path / name) for name in ("run", "straight"))) == []


@pytest.mark.parametrize("name", CHANGES)
def test_another_text_is_refused(tmp_path: Path, name: str):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "run", stop_after=7)
    text = tmp_path / "text.txt"
    text.write_bytes(CHANGES[name](text.read_bytes()))
    with pytest.raises(FileError) as caught:
        train(config, tmp_path / "run", resume=True)
    message = str(caught.value)
    assert "not the text this run was trained on (176 characters, sha256 " in message
    assert str(text) in message
    assert load_model(tmp_path / "run").progress.step == 5  # using the model needs no text


def test_a_finished_run_is_not_trained_again_until_it_gets_more_steps(tmp_path: Path):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "run")
    before = files(tmp_path / "run")
    outcome = train(config, tmp_path / "run", resume=True)
    assert (outcome.reason, outcome.progress.step) == ("already finished", 20)
    assert {**files(tmp_path / "run"), "run.lock": b""} == {**before, "run.lock": b""}
    longer = tiny_config(tmp_path, **{"training.steps": 30})
    outcome = train(longer, tmp_path / "run", resume=True)
    assert (outcome.reason, outcome.progress.step) == ("finished", 30)
    assert metrics(tmp_path / "run")[-1]["step"] == 30


PATIENT = {"training.learning_rate": 1.0, "training.steps": 400, "evaluation.every": 2}


def test_a_run_that_stopped_early_goes_on_with_more_patience_only(tmp_path: Path):
    config = tiny_config(tmp_path, **PATIENT, **{"training.early_stopping": 2})
    first = train(config, tmp_path / "run")
    assert first.reason == "no improvement"
    assert train(config, tmp_path / "run", resume=True).reason == "already finished"
    longer = tiny_config(
        tmp_path, **PATIENT | {"training.steps": 500, "training.early_stopping": 2}
    )
    assert train(longer, tmp_path / "run", resume=True).reason == "already finished"
    patient = tiny_config(tmp_path, **PATIENT, **{"training.early_stopping": 3})
    second = train(patient, tmp_path / "run", resume=True)
    assert second.progress.step > first.progress.step
    assert second.reason == "no improvement"


def test_steps_can_be_added_to_a_run_with_early_stopping(tmp_path: Path):
    """The last evaluation was no improvement, but patience had not run out."""
    settings = {"training.early_stopping": 5}
    train(tiny_config(tmp_path, **settings), tmp_path / "run")

    def last_was_no_better(arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        state["progress"] |= {"best_step": 15, "best_val_loss": 0.1, "evaluations_since_best": 1}

    forge(RunFolder(tmp_path / "run").checkpoint_path(20), last_was_no_better)
    longer = tiny_config(tmp_path, **settings, **{"training.steps": 24})
    assert train(longer, tmp_path / "run", resume=True).progress.step == 24


# Going back


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path: Path):
    config = tiny_config(tmp_path, **{"output.checkpoint_every": 2})
    train(config, tmp_path / "straight")
    train(config, tmp_path / "run", stop_after=13)
    damage(RunFolder(tmp_path / "run").checkpoint_path(13))
    said: list[str] = []
    train(config, tmp_path / "run", resume=True, say=said.append)
    (warning,) = (line for line in said if line.startswith("Warning"))
    assert "step-00000013.safetensors is damaged (checksum differs" in warning
    assert warning.endswith("going back to step-00000012.safetensors.")
    assert "Resuming at step 12." in said
    assert differing(*(all_that_counts(tmp_path / name) for name in ("run", "straight"))) == []


def test_a_run_without_any_good_checkpoint_is_never_silently_begun_again(tmp_path: Path):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "run", stop_after=7)
    for path in (tmp_path / "run").rglob("*.safetensors"):
        damage(path)
    before = files(tmp_path / "run")
    with pytest.raises(FileError, match=r"none of the 3 checkpoints in .* can be used"):
        train(config, tmp_path / "run", resume=True)
    assert {**files(tmp_path / "run"), "run.lock": b""} == {**before, "run.lock": b""}


def test_the_best_one_is_the_last_resort(tmp_path: Path):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "straight")
    train(config, tmp_path / "run", stop_after=12)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    said: list[str] = []
    train(config, tmp_path / "run", resume=True, say=said.append)
    assert "Resuming at step 10." in said
    assert differing(*(all_that_counts(tmp_path / name) for name in ("run", "straight"))) == []


# From another model


def test_init_from_takes_the_weights_and_nothing_else(tmp_path: Path):
    train(tiny_config(tmp_path, seed=3), tmp_path / "first")
    config = tiny_config(tmp_path, init_from=str(tmp_path / "first"), **{"training.steps": 1})
    config = replace(config, training=replace(config.training, learning_rate=1e-30))
    train(config, tmp_path / "second")
    second = newest(tmp_path / "second")
    source = load_model(tmp_path / "first")
    for name, parameter in source.model.parameters().items():
        np.testing.assert_array_equal(second.parameters[name], parameter.value)
    assert (second.progress.step, second.optimizer_steps) == (1, 1)


def test_init_from_another_size_is_refused(tmp_path: Path):
    train(tiny_config(tmp_path), tmp_path / "first")
    settings = {"init_from": str(tmp_path / "first"), "model.hidden_size": 6}
    with pytest.raises(ConfigError) as caught:
        train(tiny_config(tmp_path, **settings), tmp_path / "second")
    assert "model.hidden_size is 6 (there: 5)" in str(caught.value)


def test_resuming_after_the_model_to_start_from_has_changed(tmp_path: Path):
    """Neither its weights nor its vocabulary count any more."""
    train(tiny_config(tmp_path), tmp_path / "first")
    settings = {"init_from": str(tmp_path / "first")}
    train(tiny_config(tmp_path, **settings), tmp_path / "straight")
    train(tiny_config(tmp_path, **settings), tmp_path / "run", stop_after=7)
    forge(tmp_path / "first" / "best.safetensors", _zero)
    train(tiny_config(tmp_path, **settings), tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")
    shutil.rmtree(tmp_path / "first")
    train(tiny_config(tmp_path, TEXT + "é"), tmp_path / "first")
    settings |= {"training.steps": 25}
    for name in ("straight", "run"):
        train(tiny_config(tmp_path, **settings), tmp_path / name, resume=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "straight")


def _zero(arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    arrays["param/linear.W_y"][...] = 0


# How it ends


def test_errors_say_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tiny_config(tmp_path)
    train(config, tmp_path / "run", stop_after=7)
    wild = tiny_config(tmp_path, **{"training.learning_rate": 1e38})
    with pytest.raises(DivergedError) as diverged:
        train(wild, tmp_path / "run", resume=True)
    kept = f"The last saved step is 7, in {tmp_path / 'run'};"
    assert str(diverged.value).endswith(
        f". {kept} try a smaller training.learning_rate or clip_norm in a new run."
    )
    (found,) = summaries_of([tmp_path / "run"])
    assert found.state == "failed"
    assert found.problem is not None
    assert found.problem in str(diverged.value)
    assert found.problem.startswith("loss became")

    def refuse(*args: Any, **others: Any) -> None:
        raise SystemRefusedError("cannot write: the disk is full. Free some space.")

    monkeypatch.setattr(RunFolder, "save", refuse)
    with pytest.raises(SystemRefusedError) as refused:
        train(config, tmp_path / "run", resume=True)
    assert str(refused.value).endswith(f"is full. Free some space. {kept} continue with --resume.")
    with pytest.raises(
        SystemRefusedError, match=r"Nothing was saved yet; continue with --resume\."
    ):
        train(config, tmp_path / "new")
    monkeypatch.undo()
    train(config, tmp_path / "run", resume=True)
    assert summaries_of([tmp_path / "run"])[0].state == "finished"


def test_a_failed_attempt_to_go_on_is_taken_back(tmp_path: Path):
    """A finished run is finished again once it is asked for no more than it has."""
    config = tiny_config(tmp_path)
    train(config, tmp_path / "run")
    metrics = RunFolder(tmp_path / "run").metrics
    before = metrics.read_bytes()
    wild = {"training.steps": 90, "training.learning_rate": 1e38, "training.clip_norm": 0}
    with pytest.raises(DivergedError):
        train(tiny_config(tmp_path, **wild), tmp_path / "run", resume=True)
    assert summaries_of([tmp_path / "run"])[0].state == "failed"
    with RunFolder(tmp_path / "run").lock():
        (running,) = summaries_of([tmp_path / "run"])
        assert (running.state, running.problem) == ("running", None)
    train(config, tmp_path / "run", resume=True)
    assert summaries_of([tmp_path / "run"])[0].state == "finished"
    assert metrics.read_bytes() == before


def test_a_divergence_is_told_even_where_it_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*arguments: Any) -> None:
        raise SystemRefusedError("cannot write: the disk is full")

    monkeypatch.setattr(run.RunRecorder, "failed", refuse)
    with pytest.raises(DivergedError, match="became"):
        train(tiny_config(tmp_path, **{"training.learning_rate": 1e38}), tmp_path / "run")

    monkeypatch.undo()
    with pytest.raises(DivergedError):
        train(tiny_config(tmp_path, **{"training.learning_rate": 1e38}), tmp_path / "new")
    (found,) = summaries_of([tmp_path / "new"])  # it has no checkpoint either, and that is why
    assert found.problem is not None
    assert "became" in found.problem


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (
            run.Outcome("stopped", Progress(step=1234), signal.SIGTERM),
            "Stopped by SIGTERM at step 1,234; saved. Continue: charlstm train c.yaml --resume",
        ),
        (
            run.Outcome("finished", Progress(step=9, best_val_loss=2.0, best_step=5)),
            "Finished 9 steps. Best validation loss 2.0000 (2.8854 bits/char) at step 5."
            "  Try: charlstm sample a/run",
        ),
        (
            run.Outcome("finished", Progress(step=9)),
            "Finished 9 steps.  Try: charlstm sample a/run",
        ),
        (
            run.Outcome("no improvement", Progress(step=9)),
            "Stopped early at step 9.  Try: charlstm sample a/run",
        ),
        (
            run.Outcome("already finished", Progress(step=9)),
            "Already finished at step 9.  Try: charlstm sample a/run",
        ),
    ],
)
def test_last_words(outcome: run.Outcome, text: str):
    assert run.ending(outcome, Path("a/run"), "charlstm train c.yaml --resume") == text


def test_the_last_words_can_be_pasted():
    words = run.ending(run.Outcome("finished", Progress(step=9)), Path("my runs/a"), "")
    assert words.endswith("Try: charlstm sample 'my runs/a'")


def test_a_signal_during_the_last_step_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """All is done, but a shell loop around the program must still see it."""
    real = RunFolder.save

    def save(self: RunFolder, step: int, *args: Any, **others: Any) -> Path:
        os.kill(os.getpid(), signal.SIGHUP)
        return real(self, step, *args, **others)

    monkeypatch.setattr(RunFolder, "save", save)
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        outcome = train(tiny_config(tmp_path, **{"evaluation.every": 0}), tmp_path / "run")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (outcome.reason, outcome.stopped_by) == ("finished", signal.SIGHUP)


def test_saving_every_so_many_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = [0.0]

    def monotonic() -> float:  # asked once or twice a step, which here takes 6 seconds
        return now[0]

    saved: list[int] = []
    real = RunFolder.save

    def save(self: RunFolder, step: int, *args: Any, **others: Any) -> Path:
        saved.append(step)
        return real(self, step, *args, **others)

    def step(self: Any, *args: Any) -> Any:
        now[0] += 6.0
        return real_step(self, *args)

    real_step = run.Trainer.step
    monkeypatch.setattr(run.time, "monotonic", monotonic)
    monkeypatch.setattr(run.Trainer, "step", step)
    monkeypatch.setattr(RunFolder, "save", save)
    settings = {"output.checkpoint_minutes": 0.5, "evaluation.every": 0}
    train(tiny_config(tmp_path, **settings), tmp_path / "run")
    assert saved == [6, 11, 16, 20]  # each 30 seconds, noticed before the next step; and the last
