import numpy as np
import pytest

from charlstm.look.gradients.gradcheck import numerical_gradient, relative_error
from charlstm.nn import loss as module
from charlstm.nn.loss import softmax_cross_entropy, softmax_cross_entropy_backward

N, V = 6, 4


def test_values(rng) -> None:
    logits, targets = rng.standard_normal((N, V)), rng.integers(V, size=N)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    losses = softmax_cross_entropy(logits, targets)
    np.testing.assert_allclose(losses, -np.log(p[np.arange(N), targets]), rtol=1e-12)
    np.testing.assert_allclose(logits, p, rtol=1e-12)  # they have become the probabilities


def test_equal_logits_cost_log_v() -> None:
    losses = softmax_cross_entropy(np.full((3, 65), 2.5), np.array([0, 7, 64]))
    np.testing.assert_allclose(losses, np.log(65), rtol=1e-14)


def test_gradient(rng) -> None:
    logits, targets = rng.standard_normal((N, V)), rng.integers(V, size=N)
    probabilities = logits.copy()
    softmax_cross_entropy(probabilities, targets)
    dlogits = softmax_cross_entropy_backward(probabilities, targets, 1 / 12)

    def loss() -> float:
        return float(softmax_cross_entropy(logits.copy(), targets).sum() / 12)

    assert relative_error(dlogits, numerical_gradient(loss, logits)) < 1e-9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(dtype: type) -> None:
    """No overflow, no log of zero; a hopeless character costs the difference of the logits."""
    huge = 0.4 * np.finfo(dtype).max
    logits = np.array([[1e4, 0, -1e4], [huge, 0, -huge], [-huge, -huge, -huge]], dtype)
    targets = np.array([2, 0, 1])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        losses = softmax_cross_entropy(logits, targets)
        gradient = softmax_cross_entropy_backward(logits, targets, 1.0)
    np.testing.assert_allclose(losses, [2e4, 0.0, np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(gradient[0], [1, 0, -1])
    np.testing.assert_allclose(gradient[1], [0, 0, 0])
    np.testing.assert_allclose(gradient[2], [1 / 3, -2 / 3, 1 / 3], rtol=1e-6)


def test_a_likely_character_costs_what_it_should() -> None:
    """log(1 + tiny), not log of a rounded probability times something."""
    losses = softmax_cross_entropy(np.array([[30.0, 0.0]]), np.array([0]))
    assert losses[0] == pytest.approx(np.exp(-30.0), rel=1e-2)


@pytest.mark.parametrize("in_cache", [1, 7 * 11, 7 * 11 * 4 + 1])
def test_however_many_rows_stay_in_the_cache(rng, monkeypatch, in_cache: int) -> None:
    logits, targets = rng.standard_normal((23, 11)), rng.integers(11, size=23)
    whole = logits.copy()
    expected = softmax_cross_entropy(whole, targets)
    monkeypatch.setattr(module, "IN_CACHE", in_cache)
    found = softmax_cross_entropy(logits, targets)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_allclose(logits, whole, rtol=1e-14)
