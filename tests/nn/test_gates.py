from collections.abc import Callable

import numpy as np
import pytest

from charlstm.nn.gates import (
    GATES,
    IDENTITY,
    TANH,
    Squash,
    activate,
    activate_halved,
    activate_negated,
    gates_may_saturate,
    sigmoids_scaled,
)


def halved(a: np.ndarray, out: np.ndarray) -> None:
    activate_halved(sigmoids_scaled(a, 0.5), out)


def negated(a: np.ndarray, out: np.ndarray) -> None:
    activate_negated(sigmoids_scaled(a, -1.0), out)


every_way = pytest.mark.parametrize("way", [activate, halved, negated])


@every_way
def test_activations_are_sigmoid_and_tanh(way: Callable[..., None], rng) -> None:
    a = 3 * rng.standard_normal((4, 3, 5))
    gates = a.copy()
    way(gates, out=gates)
    for k, gate in enumerate(GATES):
        expected = np.tanh(a[k]) if gate == "g" else 1 / (1 + np.exp(-a[k]))
        np.testing.assert_allclose(gates[k], expected, rtol=1e-12, err_msg=gate)


@every_way
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_preactivations_saturate_without_a_warning(
    way: Callable[..., None], dtype: type
) -> None:
    largest = np.finfo(dtype).max
    a = np.tile(np.array([-largest, -1e4, 0.0, 1e4, largest], dtype), (4, 1))
    silence = np.errstate() if way is halved else gates_may_saturate()
    with np.errstate(all="raise"), silence:
        way(a, out=a)
    np.testing.assert_array_equal(a[:3], [[0, 0, 0.5, 1, 1]] * 3)
    np.testing.assert_array_equal(a[3], [-1, -1, 0, 1, 1])


@pytest.mark.parametrize("squash", [TANH, IDENTITY])
def test_a_squash_knows_its_derivative(squash: Squash, rng) -> None:
    (o, c), d = rng.standard_normal((2, 3, 5)), 1e-5
    s, ahead, behind, derivative = (np.empty_like(c) for _ in range(4))
    squash.forward(c, s)
    squash.forward(c + d, ahead)
    squash.forward(c - d, behind)
    squash.backward(o, s, o * s, derivative)
    np.testing.assert_allclose(derivative, o * (ahead - behind) / (2 * d), rtol=1e-8)


def test_the_squashes(rng) -> None:
    c = rng.standard_normal((3, 5))
    np.testing.assert_array_equal(TANH.forward(c, np.empty_like(c)), np.tanh(c))
    np.testing.assert_array_equal(IDENTITY.forward(c, np.empty_like(c)), c)
