"""Means of weights: which steps count how much."""

import numpy as np
import pytest

from charlstm.nn.averaging import AVERAGES, Average
from charlstm.nn.model import CharLM, Shape

STEPS = 40


def shares(kind: str, fraction: float, upto: int = STEPS) -> np.ndarray:
    """How much each step counts in the mean after ``upto`` steps: weights that are 1 at one step
    and 0 at all others are averaged.
    """
    model = CharLM(Shape(3, hidden_size=4, layers=1, dtype="float64"))
    found = []
    for chosen in range(1, upto + 1):
        average = Average(model, kind, steps=STEPS, fraction=fraction)
        for step in range(1, upto + 1):
            model.values[...] = step == chosen
            average.take(model, step)
        assert np.ptp(average.model.values) == 0
        found.append(average.model.values[0])
    return np.array(found)


@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.parametrize("upto", [1, 7, STEPS])
def test_shares_add_up(kind: str, upto: int):
    assert shares(kind, 0.25, upto).sum() == pytest.approx(1, rel=1e-12)


def test_the_last_part_counts_evenly_and_nothing_before():
    np.testing.assert_allclose(shares("last-fraction", 0.25), [0] * 30 + [0.1] * 10, atol=1e-15)
    np.testing.assert_allclose(shares("last-fraction", 0.25, 32), [0] * 30 + [0.5] * 2, atol=1e-15)
    np.testing.assert_allclose(shares("last-fraction", 0.25, 20), [0] * 19 + [1], atol=1e-15)
    np.testing.assert_allclose(shares("last-fraction", 1.0), [1 / STEPS] * STEPS, rtol=1e-12)


def test_the_exponential_mean():
    """From the step at which a ninth of the past is as much as the span, 4 steps, a quarter each
    time; ``w`` falls towards it before.
    """
    found = shares("ema", 0.1)
    np.testing.assert_allclose(found[29:], 0.25 * 0.75 ** np.arange(10, -1, -1), rtol=1e-12)
    early = shares("ema", 0.1, 3)
    w = np.array([1, 9 / 10, 9 / 11])
    np.testing.assert_allclose(
        early, [(1 - w[1]) * (1 - w[2]), w[1] * (1 - w[2]), w[2]], rtol=1e-12
    )
