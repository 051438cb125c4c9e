"""The loop: a resumed run is the uninterrupted one, and looking on changes nothing."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from layers import CELL_NAMES, settings_of
from places import GOLDEN
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

from charlstm.errors import DivergedError
from charlstm.nn.cells import CELLS
from charlstm.nn.optim import OPTIMIZERS
from charlstm.nn.sampling import Choice, generate
from charlstm.nn.schedule import SCHEDULES
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.training import loop, pacing, run
from charlstm.training.dataset import read_dataset
from charlstm.training.evaluation import LaneEvaluation
from charlstm.training.recorder import NoRecorder
from charlstm.training.resuming import Options
from charlstm.training.setup import evaluation_of, plan_of, prepare
from charlstm.training.trainer import Requests

EVERYTHING = {  # the hardest case: all that a checkpoint must restore is in use
    "model.cell": "layer-norm",
    "model.dropout": 0.3,
    "model.recurrent_dropout": 0.2,
    "training.optimizer": "adam",
    "training.clip_norm": 0.2,
    "schedule.kind": "plateau",
    "schedule.decay": 0.5,
    "schedule.patience": 1,
    "schedule.threshold": 0.05,
    "output.sample_every": 4,
    "output.sample_length": 5,
}

VARIANTS: dict[str, dict[str, Any]] = {
    **{f"cell {name}": settings_of(name) | {"model.dropout": 0.3} for name in CELL_NAMES},
    **{
        f"optimizer {name}": {"training.optimizer": name, "model.dropout": 0.3}
        for name in OPTIMIZERS
    },
    **{
        f"schedule {name}": {
            "schedule.kind": name,
            "schedule.warmup_steps": 6,
            "schedule.start_epoch": 1,
            "schedule.decay": 0.7,
            "schedule.decay_steps": 3,
            "schedule.patience": 1,
            "schedule.threshold": 0.1,
        }
        for name in SCHEDULES
    },
    "float64": {"model.dtype": "float64", "model.dropout": 0.3},
    "embedding": {"model.embedding_size": 3, "model.dropout": 0.3},
    "bytes": {"data.unit": "bytes"},
    "one layer": {"model.layers": 1, "model.dropout": 0.3},
    "clip by value": {"training.clip_norm": 0, "training.clip_value": 0.01},
    "weight decay": {"training.optimizer": "adamw", "training.weight_decay": 0.3},
    "no validation": {"data.validation_fraction": 0, "evaluation.every": 0},
    "epochs": {"training.steps": None, "training.epochs": 2.5},
}


def straight(config: Any, folder: Path) -> dict[str, Any]:
    train(config, folder)
    return all_that_counts(folder)


# Stopped and resumed


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("straight")
    return straight(tiny_config(folder, **EVERYTHING), folder / "run")


@pytest.mark.parametrize("step", range(1, 20))
def test_stopped_after_any_step_and_resumed(
    tmp_path: Path, uninterrupted: dict[str, Any], step: int
):
    """Reports are due every 3 steps, evaluations every 5, samples every 4; an epoch has 8."""
    config = tiny_config(tmp_path, **EVERYTHING)
    stopped = train(config, tmp_path / "run", stop_after=step)
    assert (stopped.reason, stopped.progress.step) == ("stopped", step)
    assert train(config, tmp_path / "run", resume=True).reason == "finished"
    assert differing(all_that_counts(tmp_path / "run"), uninterrupted) == []


def test_stopped_after_every_step(tmp_path: Path, uninterrupted: dict[str, Any]):
    config = tiny_config(tmp_path, **EVERYTHING)
    for step in range(1, 20):
        assert train(config, tmp_path / "run", resume=True, stop_after=step).reason == "stopped"
    train(config, tmp_path / "run", resume=True)
    assert differing(all_that_counts(tmp_path / "run"), uninterrupted) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_stopped_twice_and_resumed(tmp_path: Path, name: str):
    config = tiny_config(tmp_path, **VARIANTS[name])
    expected = straight(config, tmp_path / "straight")
    train(config, tmp_path / "run", stop_after=5)
    train(config, tmp_path / "run", resume=True, stop_after=11)
    train(config, tmp_path / "run", resume=True)
    assert differing(all_that_counts(tmp_path / "run"), expected) == []


def test_early_stopping_goes_on_counting_where_it_was(tmp_path: Path):
    config = tiny_config(
        tmp_path,
        **{
            "training.learning_rate": 1.0,  # so that nothing improves for long
            "training.steps": 400,
            "training.early_stopping": 3,
            "evaluation.every": 2,
        },
    )
    outcome = train(config, tmp_path / "straight")
    end = outcome.progress.step
    assert outcome.reason == "no improvement"
    assert outcome.progress.best_step == end - 6
    for step in (end - 3, end - 2, end - 1):
        folder = tmp_path / str(step)
        train(config, folder, stop_after=step)
        assert train(config, folder, resume=True).reason == "no improvement"
        expected = all_that_counts(tmp_path / "straight")
        assert differing(all_that_counts(folder), expected) == []


# Stopped between the pieces of an evaluation or of a sample


def train_until_question(
    number: int, config: Any, folder: Path, *, resume: bool = False
) -> tuple[run.Outcome, int]:
    """Somebody wants to stop from the ``number``-th question on. Also: how many were asked."""
    asked = 0

    def stop() -> Requests:
        nonlocal asked
        asked += 1
        return Requests(stop=asked >= number)

    def trained(*arguments: Any, **others: Any) -> str:
        return loop.train(*arguments, **others | {"requests": stop})

    no_disk = patch.object(os, "fsync", lambda descriptor: None)
    with no_disk, asked_at_every_piece(), patch.object(run, "train", trained):
        return run.run_training(config, folder, Options(resume, quiet=True), print), asked


def asked_at_every_piece() -> Any:
    return patch.multiple(pacing, PATIENCE=-1, BETWEEN=0)


def test_stopped_within_any_evaluation_or_sample_and_resumed(
    tmp_path: Path, uninterrupted: dict[str, Any], torture: bool
):
    config = tiny_config(tmp_path, **EVERYTHING)
    _, total = train_until_question(10**9, config, tmp_path / "straight")
    assert differing(all_that_counts(tmp_path / "straight"), uninterrupted) == []
    assert total > 60
    seen = set()
    some = [*range(3, total - 10, 19), *range(total - 10, total, 3)]
    for number in range(1, total) if torture else some:
        folder = tmp_path / str(number)
        outcome, _ = train_until_question(number, config, folder)
        seen.add((outcome.reason, *newest(folder).progress.due, outcome.progress.step == 20))
        train(config, folder, resume=True)
        assert differing(all_that_counts(folder), uninterrupted) == [], number
    print(f"questions whether to stop: {total}; stopped with what due:", *map(str, seen))
    at_the_last_step = {("stopped", "evaluation", "sample", True), ("stopped", "sample", True)}
    assert at_the_last_step <= seen


def test_stopped_all_the_time_and_resumed(tmp_path: Path, uninterrupted: dict[str, Any]):
    """Each attempt is granted no more questions than the longest evaluation needs, and a few."""
    config, reasons = tiny_config(tmp_path, **EVERYTHING), []
    while reasons[-1:] != ["finished"]:
        outcome, _ = train_until_question(12, config, tmp_path / "run", resume=True)
        reasons.append(outcome.reason)
        assert len(reasons) < 60
    assert len(reasons) > 5
    assert differing(all_that_counts(tmp_path / "run"), uninterrupted) == []


def test_a_request_to_save_between_the_pieces_is_granted_after_the_next_step(tmp_path: Path):
    config = tiny_config(tmp_path, **{"training.steps": 4, "evaluation.every": 2})
    dataset = read_dataset(config)
    trainer, progress = prepare(dataset, Alone(), None)
    questions = iter([Requests(), Requests(), Requests(save=True)])
    log = Log()
    with asked_at_every_piece():
        loop.train(
            trainer,
            evaluation_of(dataset, trainer),
            plan_of(dataset),
            progress,
            recorder=log,
            requests=lambda: next(questions, Requests()),
        )
    assert [e for e in log.events if "save" in e][:2] == ["save 2 best", "save 3"]


def zero(name: str) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    def change(arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        arrays[name][...] = 0

    return change


def put(name: str, value: Any) -> Callable[[dict[str, np.ndarray], dict[str, Any]], None]:
    def change(arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        assert state["progress"].get(name) != value, "no defect at all"
        state["progress"][name] = value

    return change


def restart_optimizer(arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    state["optimizer_steps"] = 0


DEFECTS = {
    "a parameter": zero("param/lstm.1.W_h"),
    "a bias": zero("param/linear.b_y"),
    "mean": zero("optimizer/mean"),
    "mean square": zero("optimizer/mean_square"),
    "recurrent state": zero("state"),
    "optimizer steps": restart_optimizer,
    "step": put("step", 10),
    "schedule": put("schedule", {}),
    "window": put("window_loss", 0.0),
    "window steps": put("window_steps", 1),
    "clipped": put("window_clipped", 0),
    "best": put("best_val_loss", 1.0),
    "best step": put("best_step", 1),
    "waiting": put("evaluations_since_best", 7),
    "last evaluation": put("val_loss", 0.5),
    "what is due": put("due", ["evaluation"]),
    "samples": put("samples_length", 3),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_whatever_is_not_restored_shows(tmp_path: Path, uninterrupted: dict[str, Any], name: str):
    """The comparison above is worth something: each lost part of a checkpoint turns it red."""
    config = tiny_config(tmp_path, **EVERYTHING, **{"evaluation.every": 5})
    train(config, tmp_path / "run", stop_after=11)
    forge(RunFolder(tmp_path / "run").checkpoint_path(11), DEFECTS[name])
    # Beyond the next evaluation all would be overwritten that only evaluations change.
    train(config, tmp_path / "run", resume=True, stop_after=14)
    found = all_that_counts(tmp_path / "run")
    train(config, tmp_path / "right", stop_after=14)
    assert differing(found, all_that_counts(tmp_path / "right")) != []


# Looking on


OBSERVERS: dict[str, dict[str, Any]] = {
    "report every step": {"output.report_every": 1},
    "never report": {"output.report_every": 1000},
    "evaluate every step": {"evaluation.every": 1},
    "evaluate at the end": {"evaluation.every": 0},
    "save every step": {"output.checkpoint_every": 1, "output.keep": 1},
    "save by the clock": {"output.checkpoint_minutes": 1e-9},
    "sample every step": {"output.sample_every": 1, "output.sample_length": 30},
}


@pytest.mark.parametrize("name", OBSERVERS)
def test_looking_on_changes_nothing(tmp_path: Path, name: str):
    settings = EVERYTHING | {"schedule.kind": "cosine", "output.sample_every": 0}
    train(tiny_config(tmp_path, **settings), tmp_path / "alone")
    folder = tmp_path / "a folder, ｅlsewhere"
    train(tiny_config(tmp_path, **settings | OBSERVERS[name]), folder)
    assert weights(folder) == weights(tmp_path / "alone")


@pytest.mark.parametrize("clock", [lambda: 0.0, lambda: 4e9, iter(range(10**6, 0, -1)).__next__])
def test_the_clock_does_not_matter(
    tmp_path: Path, uninterrupted: dict[str, Any], monkeypatch: pytest.MonkeyPatch, clock: Any
):
    monkeypatch.setattr(time, "time", clock)
    config = tiny_config(tmp_path, **EVERYTHING)
    train(config, tmp_path / "run", stop_after=8)
    train(config, tmp_path / "run", resume=True)
    assert differing(all_that_counts(tmp_path / "run"), uninterrupted) == []
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(0 < row["chars_per_second"] < 1e9 for row in rows if "chars_per_second" in row)
    assert all(row["seconds"] >= 0 for row in rows)


# What it computes


@pytest.mark.parametrize("cell", CELLS)
def test_a_recorded_trace(tmp_path: Path, cell: str):
    """Losses and gradient norms in float64; tests/golden/make.py wrote them down."""
    recorded = json.loads((GOLDEN / "trace.json").read_text())[cell]
    assert trace(cell, tmp_path) == pytest.approx(recorded, rel=1e-9)


def trace(cell: str, folder: Path) -> list[float]:
    settings = {"model.cell": cell, "model.dtype": "float64", "model.dropout": 0.25}
    settings |= {"output.report_every": 1, "training.clip_norm": 0.8}
    train(tiny_config(folder, **settings), folder / "run")
    columns = ("train_loss", "grad_norm", "val_loss")
    return [row[name] for row in metrics(folder / "run") for name in columns if name in row]


def test_fifty_characters_are_learned_by_heart(tmp_path: Path):
    text = "Thirty-nine gulls, 4 whales & a very odd sea-snake."
    assert len(text) == 51
    settings = {"data.validation_fraction": 0, "evaluation.every": 0, "training.steps": 150}
    settings |= {"training.batch_size": 1, "training.sequence_length": 50}
    settings |= {"model.hidden_size": 40, "model.layers": 1, "output.report_every": 150}
    config = tiny_config(tmp_path, text, **settings)
    dataset = read_dataset(config)
    trainer, _ = prepare(dataset, Alone(), None)
    for _ in range(150):
        loss = trainer.step(Requests()).loss
    assert loss < 0.01
    ids = dataset.corpus.ids
    greedy = generate(trainer.model, ids[:1], count=1, length=50, choice=Choice(0.0), seed=0)
    assert dataset.corpus.vocabulary.decode(np.concatenate(list(greedy))) == text[1:]


# The order of events


class Log(NoRecorder):
    def __init__(self) -> None:
        self.events: list[str] = []

    def report(self, trainer: Any, progress: Progress, result: Any) -> None:
        self.events.append(f"report {progress.step}")

    def evaluated(self, trainer: Any, progress: Progress, improved: bool) -> None:
        self.events.append(f"evaluated {progress.step}{' better' * improved}")

    def sample(self, trainer: Any, progress: Progress, stop: Any = None) -> None:
        self.events.append(f"sample {progress.step}")

    def save(self, trainer: Any, progress: Progress, *, best: bool) -> None:
        done = " finished" * progress.finished
        self.events.append(f"save {progress.step}{' best' * best}{done}")


class Scripted(LaneEvaluation):
    """Validation losses that are known beforehand."""

    def __init__(self, *losses: float) -> None:
        self.losses = iter(losses)

    def mean_loss(self, stop: Any = None) -> float:
        return next(self.losses)


def events(
    folder: Path, *losses: float, stop_after: int = 0, save_after: int = 0, **settings: Any
) -> tuple[str, list[str]]:
    config = tiny_config(folder, **settings)
    dataset = read_dataset(config)
    trainer, progress = prepare(dataset, Alone(), None)
    log = Log()

    def requests() -> Requests:
        step = trainer.step_number + 1
        return Requests(stop=step == stop_after, save=step == save_after)

    plan = plan_of(dataset)
    evaluation = Scripted(*losses) if losses else None
    reason = run.train(trainer, evaluation, plan, progress, recorder=log, requests=requests)
    return reason, log.events


def test_reports_evaluations_samples_and_saves_when_they_are_due(tmp_path: Path):
    settings = {"training.steps": 7, "output.checkpoint_every": 4, "output.sample_every": 6}
    settings |= {"evaluation.every": 2}
    assert events(tmp_path, 3.0, 2.0, 2.5, 1.5, **settings) == (
        "finished",
        [
            *("evaluated 2 better", "save 2 best", "report 3", "evaluated 4 better", "save 4 best"),
            *("report 6", "evaluated 6", "sample 6", "evaluated 7 better", "save 7 best finished"),
        ],
    )


def test_the_end_is_evaluated_and_saved_whatever_is_due(tmp_path: Path):
    settings = {"training.steps": 4, "output.checkpoint_every": 3, "evaluation.every": 0}
    reason, seen = events(tmp_path, 1.0, **settings)
    assert reason == "finished"
    assert seen == ["report 3", "save 3", "evaluated 4 better", "save 4 best finished"]


def test_wishes_are_granted(tmp_path: Path):
    reason, seen = events(tmp_path, stop_after=2, save_after=1)
    assert (reason, seen) == ("stopped", ["save 1", "save 2"])


def test_a_wish_to_stop_after_the_last_step_comes_too_late(tmp_path: Path):
    reason, seen = events(tmp_path, stop_after=2, **{"training.steps": 2})
    assert (reason, seen) == ("finished", ["save 2 finished"])


def test_early_stopping(tmp_path: Path):
    settings = {"evaluation.every": 1, "training.early_stopping": 2, "output.report_every": 99}
    reason, seen = events(tmp_path, 3.0, 3.0, 2.0, 2.1, 2.2, 1.0, **settings)
    assert reason == "no improvement"
    assert [event for event in seen if "evaluated" not in event] == [
        *("save 1 best", "save 3 best", "save 5 finished")
    ]


def test_the_mean_of_a_report_is_that_of_its_own_steps(tmp_path: Path):
    config = tiny_config(tmp_path, **{"training.steps": 6, "output.report_every": 1})
    train(config, tmp_path / "each")
    losses = [row["train_loss"] for row in metrics(tmp_path / "each") if "train_loss" in row]
    train(tiny_config(tmp_path, **{"training.steps": 6}), tmp_path / "run")
    reported = [row["train_loss"] for row in metrics(tmp_path / "run") if "train_loss" in row]
    assert reported == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])], rel=1e-12)


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_validation_loss_that_is_not_finite(tmp_path: Path, loss: float):
    with pytest.raises(DivergedError) as caught:
        events(tmp_path, loss, **{"evaluation.every": 2})
    assert f"the validation loss became {loss} at step 2 (gradient norm " in str(caught.value)
    assert ", learning rate 0.02); this state is not saved" in str(caught.value)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path):
    settings = {"training.learning_rate": 1e39, "output.checkpoint_every": 1}
    with pytest.raises(DivergedError, match=r"a weight became (nan|inf) at step 1 \(gradient norm"):
        train(tiny_config(tmp_path, **settings), tmp_path / "run")
    assert RunFolder(tmp_path / "run").steps() == []


def test_progress_of_an_epoch(tmp_path: Path):
    train(tiny_config(tmp_path), tmp_path / "run", stop_after=10)
    assert newest(tmp_path / "run").progress.epoch == 10 / 8
    assert len(TEXT) == 176
