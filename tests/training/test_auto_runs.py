"""``auto`` and ``training.minutes`` in a run: decided once, written down, and kept on resuming."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import SETTINGS, TEXT, all_that_counts, differing, newest, tiny_config, train

from charlstm.config.auto import unsettled
from charlstm.config.reading import load_config
from charlstm.config.schema import SETTINGS as SCHEMA
from charlstm.config.schema import with_values
from charlstm.config.settings import Config
from charlstm.saved.progress import Progress
from charlstm.training import budget, run
from charlstm.training.dataset import read_dataset

LEFT_OPEN = {path: "auto" for path, it in SCHEMA.items() if it.auto}


def open_config(folder: Path, text: str = TEXT * 10, **settings: Any) -> Config:
    """Everything that can be is ``auto``, so the steps are left to it as well."""
    return tiny_config(folder, text, **(LEFT_OPEN | {"training.steps": None} | settings))


def test_what_was_decided_is_written_down_and_told(tmp_path: Path):
    said: list[str] = []
    config = open_config(tmp_path, **{"training.steps": 20})
    train(config, tmp_path / "run", say=said.append)
    used = load_config(tmp_path / "run" / "config.yaml")
    assert unsettled(config)
    assert not unsettled(used)
    assert newest(tmp_path / "run").config == used == read_dataset(config).config
    told = [line for line in said if line.startswith("Chosen for this text: ")]
    assert len(told) == 1
    assert f"hidden_size {used.model.hidden_size}," in told[0]
    assert "a wider one would" in told[0]
    assert "epochs" not in told[0]  # steps were given


@pytest.mark.parametrize("how", ["as before", "by its config"])
def test_resuming_is_exact(tmp_path: Path, how: str):
    config = open_config(tmp_path, **{"training.steps": 20})
    train(config, tmp_path / "whole")
    train(config, tmp_path / "cut", stop_after=7)
    if how == "by its config":
        config = load_config(tmp_path / "cut" / "config.yaml")
    train(config, tmp_path / "cut", resume=True)
    assert differing(all_that_counts(tmp_path / "cut"), all_that_counts(tmp_path / "whole")) == []


def test_the_length_may_change_and_all_else_stays(tmp_path: Path):
    config = open_config(tmp_path, **{"training.steps": 20})
    train(config, tmp_path / "run")
    longer = open_config(tmp_path, **{"training.steps": 25})
    train(longer, tmp_path / "run", resume=True)
    then = read_dataset(config).config
    assert newest(tmp_path / "run").config == dataclasses.replace(
        then, training=dataclasses.replace(then.training, steps=25)
    )


def test_workers_are_told_numbers(tmp_path: Path):
    config = open_config(tmp_path, **{"training.steps": 4, "training.workers": 2})
    train(config, tmp_path / "run")
    assert newest(tmp_path / "run").progress.step == 4


def test_a_model_to_start_from_decides_its_sizes(tmp_path: Path):
    train(tiny_config(tmp_path), tmp_path / "first")
    config = open_config(
        tmp_path, TEXT, **{"init_from": str(tmp_path / "first"), "training.steps": 2}
    )
    train(config, tmp_path / "second")
    model = newest(tmp_path / "second").config.model
    assert (model.layers, model.hidden_size) == (SETTINGS["model.layers"], 5)


def test_twenty_evaluations_and_the_best_is_kept(tmp_path: Path):
    outcome = train(open_config(tmp_path), tmp_path / "run")
    every = newest(tmp_path / "run").config.evaluation.every
    assert outcome.progress.step / every >= 20 or outcome.reason == "no improvement"
    assert (tmp_path / "run" / "best.safetensors").exists()


# A budget of time. The speed is given, so that a busy machine does not decide.


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """10,000 characters a second; and how often that was measured."""
    measured: list[int] = []

    def characters_per_second(dataset: Any, folder: Path) -> float:
        measured.append(dataset.config.model.hidden_size)
        return 10_000.0

    monkeypatch.setattr(budget, "_characters_per_second", characters_per_second)
    return measured


@pytest.mark.parametrize("minutes", [0.1, 0.2, 0.4])
def test_steps_and_evaluations_fill_the_time(tmp_path: Path, speed: list[int], minutes: float):
    config = open_config(tmp_path, TEXT * 200, **{"training.minutes": minutes})
    dataset = budget.fit_to_time(read_dataset(config), None, budget.time.monotonic()).dataset
    settings = dataset.config
    characters = settings.training.batch_size * settings.training.sequence_length
    seconds = dataset.total_steps * characters / 10_000
    evaluated = settings.evaluation.characters or len(dataset.validation)
    evaluations = dataset.total_steps / settings.evaluation.every
    seconds += evaluations * evaluated / budget.EVALUATION / 10_000
    seconds += min(budget.AFTERWARDS, 60 * minutes / 40)
    assert seconds == pytest.approx(60 * minutes, rel=0.1)


def test_a_slow_machine_gets_a_smaller_model(tmp_path: Path, speed: list[int]):
    config = open_config(tmp_path, TEXT * 1000, **{"training.minutes": 1})
    dataset = budget.fit_to_time(read_dataset(config), None, budget.time.monotonic()).dataset
    assert len(speed) == 2
    assert dataset.config.model.hidden_size == speed[1] < speed[0]


def test_a_budget_decides_where_epochs_were_given(tmp_path: Path, speed: list[int]):
    config = tiny_config(tmp_path, **{"training.steps": None, "training.minutes": 0.005})
    train(config, tmp_path / "run")
    used = load_config(tmp_path / "run" / "config.yaml")
    assert used.training.minutes == 0.005
    assert used.training.epochs < SETTINGS["training.epochs"] == config.training.epochs
    assert used.model == config.model


def test_what_was_measured_holds_on_resuming(tmp_path: Path, speed: list[int]):
    config = tiny_config(tmp_path, TEXT * 9, **{"training.steps": None, "training.minutes": 0.02})
    train(config, tmp_path / "whole")
    train(config, tmp_path / "cut", stop_after=7)
    epochs = newest(tmp_path / "cut").config.training.epochs
    assert len(speed) == 2
    train(config, tmp_path / "cut", resume=True)
    train(load_config(tmp_path / "cut" / "config.yaml"), tmp_path / "cut", resume=True)
    assert len(speed) == 2
    assert newest(tmp_path / "cut").config.training.epochs == epochs
    more = tiny_config(tmp_path, TEXT * 9, **{"training.steps": None, "training.minutes": 0.03})
    train(more, tmp_path / "cut", resume=True)
    assert len(speed) == 3
    assert newest(tmp_path / "cut").config.training.epochs > epochs


def test_steps_say_more_than_minutes(tmp_path: Path, speed: list[int]):
    outcome = train(tiny_config(tmp_path, **{"training.minutes": 3}), tmp_path / "run")
    assert outcome.progress.step == SETTINGS["training.steps"]
    assert speed == []


@pytest.mark.parametrize("workers", [1, 2])
def test_the_measurement_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int):
    monkeypatch.setattr(budget, "MOMENT", 0.05)
    settings = {"training.steps": None, "training.minutes": 0.01, "training.workers": workers}
    outcome = train(tiny_config(tmp_path, **settings), tmp_path / "run")
    assert outcome.reason == "finished"
    assert outcome.progress.step == run.read_dataset(newest(tmp_path / "run").config).total_steps


CORRECTED = {
    "training.steps": None,
    "training.minutes": 0.02,
    "schedule.kind": "cosine",
    "schedule.warmup_steps": 6,
    "evaluation.every": 5,
}


def correct_to(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget.Correction, "_fitting", lambda self, timed, done: steps)


@pytest.mark.parametrize("steps", [7, 33])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_corrected_run_is_the_one_that_its_configuration_describes(
    tmp_path: Path, speed: list[int], monkeypatch: pytest.MonkeyPatch, workers: int, steps: int
):
    correct_to(steps, monkeypatch)
    settings = CORRECTED | {"training.workers": workers}
    planned = budget.fit_to_time(
        read_dataset(tiny_config(tmp_path, **settings)), None, budget.time.monotonic()
    )
    assert planned.dataset.total_steps not in (steps, 7, 33)
    outcome = train(tiny_config(tmp_path, **settings), tmp_path / "run")
    assert outcome.reason == "finished"
    assert outcome.progress.step == steps
    used = load_config(tmp_path / "run" / "config.yaml")
    assert newest(tmp_path / "run").config == used
    assert read_dataset(used).total_steps == steps
    again = with_values(used, {"training.minutes": None})
    train(again, tmp_path / "again")
    found, expected = (newest(tmp_path / name).parameters for name in ("run", "again"))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("stop_after", [3, 6, 7, 20])
def test_a_run_stopped_around_its_correction_goes_on_as_it_was_planned_then(
    tmp_path: Path, speed: list[int], monkeypatch: pytest.MonkeyPatch, stop_after: int
):
    correct_to(33, monkeypatch)
    config = tiny_config(tmp_path, **CORRECTED)
    train(config, tmp_path / "run", stop_after=stop_after)
    planned = read_dataset(newest(tmp_path / "run").config).total_steps
    assert (planned == 33) == (stop_after > 6)
    outcome = train(load_config(tmp_path / "run" / "config.yaml"), tmp_path / "run", resume=True)
    assert outcome.progress.step == planned
    if planned == 33:
        train(config, tmp_path / "straight")
        counts = [all_that_counts(tmp_path / name) for name in ("run", "straight")]
        assert differing(*counts) == []


def test_a_mean_of_the_weights_is_not_corrected(
    tmp_path: Path, speed: list[int], monkeypatch: pytest.MonkeyPatch
):
    correct_to(33, monkeypatch)
    settings = CORRECTED | {"training.average": "ema"}
    assert train(tiny_config(tmp_path, **settings), tmp_path / "run").progress.step != 33


@pytest.mark.parametrize("slower", [1.0, 2.0, 0.5])
def test_the_speed_of_the_warm_up_decides(
    tmp_path: Path, speed: list[int], monkeypatch: pytest.MonkeyPatch, slower: float
):
    settings = CORRECTED | {"training.minutes": 0.4, "schedule.warmup_steps": 100}
    dataset = read_dataset(tiny_config(tmp_path, TEXT * 40, **settings))
    now = 50.0
    monkeypatch.setattr(budget.time, "monotonic", lambda: now)
    timed = budget.fit_to_time(dataset, None, now)
    correction, progress = budget.Correction(timed), Progress()
    per_step = (12 + len(dataset.validation) / 5 / budget.EVALUATION) / 10_000
    for step in range(100):
        progress.step = step
        assert correction.steps(progress) == 0
        now += slower * per_step
    progress.step = 100
    progress.due = ["evaluation"]
    assert correction.steps(progress) == 0
    progress.due = []
    found = correction.steps(progress)
    assert found == pytest.approx(timed.dataset.total_steps / slower, rel=0.05)
    progress.step = 101
    assert correction.steps(progress) == 0


def test_more_passes_than_are_good_are_not_made_whatever_the_speed(
    tmp_path: Path, speed: list[int], monkeypatch: pytest.MonkeyPatch
):
    settings = CORRECTED | {"training.minutes": 10, "schedule.warmup_steps": 100}
    dataset = read_dataset(open_config(tmp_path, TEXT, **settings))
    now = 50.0
    monkeypatch.setattr(budget.time, "monotonic", lambda: now)
    timed = budget.fit_to_time(dataset, None, now)
    correction = budget.Correction(timed)
    for step in range(101):
        found = correction.steps(Progress(step=step))
        now += 0.1
    assert found == timed.most_steps == timed.dataset.total_steps
