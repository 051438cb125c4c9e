"""Learning-rate schedules against values worked out by hand."""

import json
from math import inf, nan, sqrt
from typing import Any

import pytest

from charlstm.errors import FileError
from charlstm.nn.schedule import SCHEDULES, Schedule, make_schedule

NUMBERS = {
    "base": 0.8,
    "total_steps": 110,
    "steps_per_epoch": 7,
    "warmup_steps": 0,
    "decay": 0.97,
    "start_epoch": 10.0,
    "every_epochs": 1.0,
    "decay_steps": 1000,
    "minimum": 0.0,
    "patience": 3,
    "threshold": 0.0,
}


def schedule(kind: str, **numbers: Any) -> Schedule:
    return make_schedule(kind, NUMBERS | numbers)


def rates(made: Schedule, *steps: int) -> Any:
    return pytest.approx([made.learning_rate(step) for step in steps], rel=1e-14, abs=1e-17)


def test_constant() -> None:
    assert rates(schedule("constant"), 0, 5, 10**9) == [0.8, 0.8, 0.8]


def test_step_decays_from_the_end_of_the_start_epoch_as_in_char_rnn() -> None:
    made = schedule("step", decay=0.5, start_epoch=3, every_epochs=1)
    assert rates(made, 0, 20, 21, 27, 28, 34, 35) == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1]


def test_step_decays_every_few_epochs() -> None:
    made = schedule("step", decay=0.5, start_epoch=3, every_epochs=2, minimum=0.15)
    assert rates(made, 20, 21, 34, 35, 48, 49) == [0.8, 0.4, 0.4, 0.2, 0.2, 0.15]


def test_step_with_the_classic_numbers() -> None:
    made = schedule("step", base=2e-3, steps_per_epoch=423, decay=0.97, start_epoch=10)
    assert rates(made, 4229, 4230, 423 * 50 - 1) == [2e-3, 2e-3 * 0.97, 2e-3 * 0.97**40]


def test_exponential_has_no_stairs() -> None:
    made = schedule("exponential", decay=0.25, decay_steps=10, minimum=0.03)
    assert rates(made, 0, 5, 10, 20, 30) == [0.8, 0.4, 0.2, 0.05, 0.03]


def test_cosine_goes_from_warm_up_to_minimum() -> None:
    made = schedule("cosine", warmup_steps=10, minimum=0.2)
    assert rates(made, 0, 4, 9) == [0.08, 0.4, 0.8]
    quarter = 0.2 + 0.6 * (1 + sqrt(0.5)) / 2
    assert rates(made, 10, 35, 60, 110, 500) == [0.8, quarter, 0.5, 0.2, 0.2]


def test_cosine_that_is_all_warm_up() -> None:
    made = schedule("cosine", warmup_steps=110, total_steps=110)
    assert rates(made, 0, 109, 110, 111) == [0.8 / 110, 0.8, 0.8, 0.0]


@pytest.mark.parametrize("kind", list(SCHEDULES))
def test_warm_up_is_linear_for_every_kind(kind: str) -> None:
    plain = schedule(kind, warmup_steps=0)
    warm = schedule(kind, warmup_steps=4)
    base = 0.8 if kind == "cosine" else None  # its half-wave begins after the warm-up
    for step, share in enumerate([0.25, 0.5, 0.75, 1.0]):
        expected = share * (base or plain.learning_rate(step))
        assert rates(warm, step) == [expected]


def test_plateau_waits_for_patience_and_starts_again() -> None:
    made = schedule("plateau", decay=0.5, patience=2, threshold=0.1, minimum=0.15)
    seen = []
    for loss in [3.0, 2.95, 2.8, 2.75, 2.71, 2.6, 2.6, 2.6, 2.6, 2.6, 9.0]:
        made.observe(loss)
        seen.append(made.learning_rate(0))
    assert seen == [0.8, 0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.15, 0.15]


@pytest.mark.parametrize("loss", [nan, inf])
def test_plateau_takes_no_comfort_in_what_is_no_number(loss: float) -> None:
    made = schedule("plateau", decay=0.5, patience=2)
    made.observe(loss)
    made.observe(loss)
    assert made.learning_rate(0) == 0.4
    assert json.dumps(made.state(), allow_nan=False)
    made.observe(5.0)
    made.observe(loss)
    assert made.state() == {"factor": 0.5, "best": 5.0, "waiting": 1}


@pytest.mark.parametrize("kind", list(SCHEDULES))
@pytest.mark.parametrize("stop", [0, 1, 3, 6])
def test_restored_from_json_goes_on_exactly(kind: str, stop: int) -> None:
    losses = [2.1, 1.9, 1.95, 1.91, 1.7, 1.72, 1.71, 1.73, 1.74]
    straight, first, second = (schedule(kind, decay=0.93, patience=2) for _ in range(3))
    for loss in losses:
        straight.observe(loss)
    for loss in losses[:stop]:
        first.observe(loss)
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    for loss in losses[stop:]:
        second.observe(loss)
    assert second.state() == straight.state()
    assert second.learning_rate(77) == straight.learning_rate(77)


def test_a_schedule_may_change_on_resume() -> None:
    plateau = schedule("plateau")
    plateau.restore(schedule("constant").state())
    assert plateau.learning_rate(0) == 0.8
    schedule("constant").restore(plateau.state())


@pytest.mark.parametrize(
    "change",
    [
        {"factor": None},
        {"factor": nan},
        {"factor": "1"},
        {"factor": True},
        {"best": inf},
        {"best": []},
        {"waiting": -1},
        {"waiting": 1.0},
        {"waiting": None},
    ],
)
def test_a_damaged_state_is_refused(change: dict[str, Any]) -> None:
    made = schedule("plateau")
    with pytest.raises(FileError, match="schedule state"):
        made.restore(made.state() | change)
    assert made.state() == schedule("plateau").state()
