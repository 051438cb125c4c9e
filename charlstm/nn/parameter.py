"""Parameter: a value that is learned, and the gradient of the loss with respect to it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Parameter:
    """``value`` and ``grad``, two arrays of one shape. A backward pass overwrites ``grad``."""

    def __init__(self, value: Array) -> None:
        self.value = value
        self.grad = np.zeros_like(value)


def flatten(parameters: Iterable[Parameter]) -> tuple[Array, Array]:
    """Move all parameters into two flat vectors ``(values, grads)``, which they then view.

    Optimizer, clipping and all-reduce see one vector each; layers go on seeing their own shapes.
    """
    parameters = list(parameters)
    values = np.concatenate([p.value.ravel() for p in parameters])
    grads = np.zeros_like(values)
    start = 0
    for p in parameters:
        stop = start + p.value.size
        p.value = values[start:stop].reshape(p.value.shape)
        p.grad = grads[start:stop].reshape(p.grad.shape)
        start = stop
    return values, grads


def uniform(rng: np.random.Generator, shape: tuple[int, ...], reach: float, dtype: type) -> Array:
    """Drawn in float64 with ``random()``, the stream that NumPy keeps stable (NEP 19)."""
    return ((2.0 * rng.random(shape) - 1.0) * reach).astype(dtype)
