"""Losses of a text: each character counts once, and lanes agree with the exact loss."""

from typing import Any

import numpy as np
import pytest

from charlstm.look.score import EXACT_CHUNK, exact_losses
from charlstm.nn.cells import CELLS, State
from charlstm.nn.model import CharLM, Shape
from charlstm.system.comm import Alone
from charlstm.training.evaluation import LaneEvaluation

V = 7


def model_of(cell: str = "lstm", **others: Any) -> CharLM:
    shape = Shape(V, cell=cell, layers=2, hidden_size=5, dtype="float64", **others)
    model = CharLM(shape, seed=3)
    model.values[...] = 0.5 * np.random.default_rng(4).normal(size=model.values.size)
    return model


def text_of(length: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, V, length).astype(np.uint8)


def one_by_one(model: CharLM, ids: np.ndarray, first: int = 0) -> np.ndarray:
    """The loss of every character of ``ids`` but the first, from a zero state, step by step."""
    states = model.zero_states(1)
    tape = model.tape(1, 1)
    losses = []
    for t in range(len(ids) - 1):
        logits, states = model.forward(np.array([[ids[t]]], np.intp), states, tape)
        scores = logits[0].astype(np.float64)
        losses.append(
            np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[ids[t + 1]]
        )
    return np.array(losses[first:])


class Counting:
    """Stands in for a model: the loss of a character says which place of the text it stood at."""

    def zero_states(self, B: int) -> list[State]:
        return [State(np.zeros((B, 1)), np.zeros((B, 1)))]

    def tape(self, T: int, B: int) -> str:
        return "no tape"

    def losses(self, x: Any, y: Any, states: Any, tape: Any) -> Any:
        assert np.array_equal(y, x + 1)  # the target is the next character
        return 2.0**x, states


def test_a_part_of_the_text_is_read_from_the_start_of_each_run():
    """Four runs of 13 predictions, the last of 10: five of each make 20 characters."""
    evaluation = LaneEvaluation(Counting(), np.arange(50), 4, 3, Alone(), characters=20)  # type: ignore[arg-type]
    places = [13 * run + place for run in range(4) for place in range(5)]
    assert evaluation.mean_loss() * 20 == sum(2.0**place for place in places)


@pytest.mark.parametrize("characters", [0, 49, 60, 10_000])
def test_a_part_that_is_all_of_it(characters: int):
    evaluation = LaneEvaluation(Counting(), np.arange(50), 4, 3, Alone(), characters=characters)  # type: ignore[arg-type]
    assert round(evaluation.mean_loss() * 49) == 2**49 - 1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [2, 3, EXACT_CHUNK, EXACT_CHUNK + 1, 2 * EXACT_CHUNK + 30])
def test_exact_losses_are_those_of_one_step_at_a_time(cell: str, length: int):
    model, ids = model_of(cell), text_of(length)
    losses = np.concatenate(list(exact_losses(model, ids)))
    np.testing.assert_allclose(losses, one_by_one(model, ids), rtol=1e-10)


@pytest.mark.parametrize(
    ("length", "B", "T"),
    [
        (50, 4, 3),
        (50, 1, 3),
        (50, 50, 7),
        (50, 50, 1),
        (2, 4, 3),
        (13, 2, 3),
        (49, 3, 4),
        (51, 6, 2),
    ],
)
def test_every_character_but_the_first_counts_once(length: int, B: int, T: int):
    """Powers of two add up to 2^(n-1) - 1 in exactly one way that takes n - 1 of them."""
    evaluation = LaneEvaluation(Counting(), np.arange(length), B, T, Alone())  # type: ignore[arg-type]
    assert round(evaluation.mean_loss() * (length - 1)) == 2 ** (length - 1) - 1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("length", "B", "T"), [(101, 4, 3), (100, 4, 3), (77, 3, 6), (60, 5, 2)])
def test_lanes_are_read_after_a_warm_up_of_one_sequence(cell: str, length: int, B: int, T: int):
    model, ids = model_of(cell), text_of(length)
    number = max(1, min(B, (length - 1) // (4 * T)))
    run = -(-(length - 1) // number)
    total = 0.0
    for start in range(0, length - 1, run):
        warm_up = min(start, T)
        piece = ids[start - warm_up : start + run + 1]
        total += one_by_one(model, piece, first=warm_up).sum()
    found = LaneEvaluation(model, ids, B, T, Alone()).mean_loss()
    assert found == pytest.approx(total / (length - 1), rel=1e-10)
    exact = np.concatenate(list(exact_losses(model, ids))).mean()
    assert found != exact  # the test sees a difference between lanes and one run


@pytest.mark.parametrize(("length", "B", "T"), [(101, 1, 3), (101, 9, 100), (101, 4, 30)])
def test_one_lane_is_exact(length: int, B: int, T: int):
    model, ids = model_of(), text_of(length)
    exact = np.concatenate(list(exact_losses(model, ids))).mean()
    found = LaneEvaluation(model, ids, B, T, Alone()).mean_loss()
    assert found == pytest.approx(exact, rel=1e-12)


def test_evaluating_again_gives_the_same_and_leaves_the_model_alone():
    model, ids = model_of(), text_of(60)
    before = model.values.tobytes(), model.grads.tobytes()
    evaluation = LaneEvaluation(model, ids, 3, 4, Alone())
    assert evaluation.mean_loss() == evaluation.mean_loss()
    assert (model.values.tobytes(), model.grads.tobytes()) == before


def test_several_ranks_count_what_one_does():
    model, ids = model_of(), text_of(101)
    alone = LaneEvaluation(model, ids, 4, 3, Alone()).mean_loss()
    for size in (2, 3, 7):  # with 7 ranks and 4 lanes some have nothing to do
        parts = [LaneEvaluation(model, ids, 4, 3, _Rank(rank, size)) for rank in range(size)]
        assert sum(part.mean_loss() for part in parts) == pytest.approx(alone, rel=1e-12)


class _Rank(Alone):
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size  # type: ignore[misc]
