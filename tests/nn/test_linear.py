import numpy as np
import pytest

from charlstm.look.gradients.gradcheck import numerical_gradient, relative_error
from charlstm.nn.linear import Linear

N, H, V = 6, 4, 7


def test_forward_and_gradients(rng) -> None:
    linear = Linear(H, V, rng, np.float64)
    linear.b_y.value[...] = rng.standard_normal(V)
    x, dy = rng.standard_normal((N, H)), rng.standard_normal((N, V))
    y, dx = np.empty((N, V)), np.full((N, H), np.nan)

    assert linear.forward(x, y) is y
    np.testing.assert_allclose(y[2], linear.W_y.value.T @ x[2] + linear.b_y.value, rtol=1e-12)
    linear.W_y.grad[...] = linear.b_y.grad[...] = np.nan  # written, not added to
    assert linear.backward(dy, x, dx) is dx

    def loss() -> float:
        return float((linear.forward(x, y) * dy).sum())

    for value, grad in (
        (x, dx),
        (linear.W_y.value, linear.W_y.grad),
        (linear.b_y.value, linear.b_y.grad),
    ):
        assert relative_error(grad, numerical_gradient(loss, value)) < 1e-9


def test_start() -> None:
    linear = Linear(100, 300, np.random.default_rng(0))
    assert linear.W_y.value.dtype == np.float32
    assert 0.0999 < np.abs(linear.W_y.value).max() <= 0.1
    assert linear.W_y.value.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.02)
    np.testing.assert_array_equal(linear.b_y.value, 0.0)
