"""The loss in lanes: every character once, and the exact figure but for what lies far back."""

import math

import numpy as np
import pytest
from layers import CELL_NAMES, shape_of

from charlstm.look import lanes
from charlstm.look.lanes import lane_losses
from charlstm.look.score import exact_losses
from charlstm.nn.finite import OverflowedError
from charlstm.nn.model import CharLM, Shape

V = 7


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "STEPS", 5)
    monkeypatch.setattr(lanes, "WARM_UP", 10)
    monkeypatch.setattr(lanes, "ENOUGH", 11)
    monkeypatch.setattr(lanes, "LANES_OF_A_THREAD", 3)


def model_of(cell: str = "lstm") -> CharLM:
    return CharLM(shape_of(V, cell, layers=2, hidden_size=6, dtype="float64"), seed=3)


def together(losses) -> np.ndarray:
    return np.sort(np.concatenate(list(losses)))


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("length", [2, 3, 24, 25, 200, 203])
def test_one_lane_is_exact(rng, cell: str, length: int) -> None:
    model, ids = model_of(cell), rng.integers(V, size=length).astype(np.uint8)
    found, exact = together(lane_losses(model, ids, 1)), together(exact_losses(model, ids))
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize("number", [2, 3, 7, 1000])
@pytest.mark.parametrize("length", [40, 61, 203])
def test_each_character_is_counted_once_and_its_past_is_what_the_lane_has_read(
    rng, number: int, length: int
) -> None:
    model, ids = model_of(), rng.integers(V, size=length).astype(np.uint8)
    found = together(lane_losses(model, ids, number))
    count = max(1, min(number, (length - 1) // 11))
    run = math.ceil((length - 1) / count)
    expected = []
    for start in range(0, length - 1, run):
        begin = max(0, start - 10)
        read = np.concatenate(list(exact_losses(model, ids[begin : start + run + 1])))
        expected.append(read[start - begin :])
    np.testing.assert_allclose(found, np.sort(np.concatenate(expected)), rtol=1e-12)
    assert len(found) == length - 1


def test_what_is_not_finite_is_refused(rng) -> None:
    model = CharLM(Shape(V, layers=1, hidden_size=6), seed=3)
    model.values[...] = 3e38
    with pytest.raises(OverflowedError):
        list(lane_losses(model, rng.integers(V, size=99).astype(np.uint8), 3))


def test_threads_leave_no_trace(rng) -> None:
    """To the bit: which of them is quicker decides nothing."""
    model, ids = model_of("layer-norm"), rng.integers(V, size=203).astype(np.uint8)
    first, again = (list(lane_losses(model, ids, 7)) for _ in range(2))
    for piece, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(piece, same)
