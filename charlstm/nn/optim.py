"""Optimizers and gradient clipping on flat vectors.

All parameters of a model lie in one vector ``values``, their gradients in ``grads``, both
``(size,)``. An update takes several passes over its arrays; it goes through them block by block,
so that every pass but the first finds its block in the processor's cache.

In the formulas ``x`` is a parameter, ``g`` its gradient, ``lr`` the learning rate, and ``t`` the
number of the update, from 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from math import isfinite, sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charlstm.errors import FileError

Floats = NDArray[np.floating[Any]]

BLOCK = 1 << 16  # with 4 arrays of float32, 1 MB: the fastest of 2^12 to 2^16, measured


class Optimizer(ABC):
    """Updates ``values`` in place; holds what it remembers from step to step.

    ``state`` maps names to ``(size,)`` arrays, zero at first; ``steps`` counts updates. Both go
    into a checkpoint and together continue a run bit for bit.
    """

    remembers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, size: int, dtype: DTypeLike) -> None:
        self.steps = 0
        self.state: dict[str, Floats] = {name: np.zeros(size, dtype) for name in self.remembers}
        self._scratch: Floats = np.empty(min(size, BLOCK), dtype)

    def step(self, values: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``values`` in place; ``grads`` stays as it is."""
        self.steps += 1
        for block in blocks(values.size):
            x, g = values[block], grads[block]
            state = [array[block] for array in self.state.values()]
            self._update(x, g, learning_rate, self._scratch[: x.size], *state)

    def load(self, state: Mapping[str, Floats], steps: int) -> None:
        """Copy in what a checkpoint holds; raises `FileError` if it is another optimizer's."""
        if state.keys() != self.state.keys():
            raise FileError(
                f"optimizer state: expected {sorted(self.state)}, found {sorted(state)}"
            )
        for name, array in self.state.items():
            if state[name].shape != array.shape or state[name].dtype != array.dtype:
                raise FileError(
                    f"optimizer state {name}: expected {array.dtype} {array.shape},"
                    f" found {state[name].dtype} {state[name].shape}"
                )
        for name, array in self.state.items():
            array[...] = state[name]
        self.steps = steps

    @abstractmethod
    def _update(self, x: Floats, g: Floats, lr: float, scratch: Floats, *state: Floats) -> None:
        """Update one block; ``scratch`` has its length."""


class SGD(Optimizer):
    """Gradient descent on batches (Robbins & Monro 1951): x -= lr g."""

    def _update(self, x: Floats, g: Floats, lr: float, scratch: Floats, *state: Floats) -> None:
        x -= np.multiply(g, lr, out=scratch)


class Momentum(Optimizer):
    """Classical momentum (Polyak 1964; written as in Sutskever et al. 2013).

    v = momentum v - lr g;  x += v
    """

    remembers = ("velocity",)

    def __init__(self, size: int, dtype: DTypeLike, *, momentum: float) -> None:
        super().__init__(size, dtype)
        self.momentum = momentum

    def _update(self, x: Floats, g: Floats, lr: float, scratch: Floats, *state: Floats) -> None:
        (v,) = state
        v *= self.momentum
        v -= np.multiply(g, lr, out=scratch)
        x += v


class RMSprop(Optimizer):
    """Division by a running root mean square (Tieleman & Hinton, Coursera lecture 6e, 2012).

    s = decay s + (1 - decay) g^2;  x -= lr g / (sqrt(s) + epsilon)

    The lecture has no epsilon; it stands outside the root, as in Torch and char-rnn.
    """

    remembers = ("mean_square",)

    def __init__(self, size: int, dtype: DTypeLike, *, decay: float, epsilon: float) -> None:
        super().__init__(size, dtype)
        self.decay = decay
        self.epsilon = epsilon

    def _update(self, x: Floats, g: Floats, lr: float, scratch: Floats, *state: Floats) -> None:
        (s,) = state
        _average_square(s, g, self.decay, scratch)
        _root_plus(s, self.epsilon, scratch)
        np.divide(g, scratch, out=scratch)
        scratch *= lr
        x -= scratch


class Adagrad(Optimizer):
    """Division by the root of all squares so far (Duchi, Hazan & Singer 2011, diagonal form).

    s += g^2;  x -= lr g / (sqrt(s) + epsilon)
    """

    remembers = ("sum_square",)

    def __init__(self, size: int, dtype: DTypeLike, *, epsilon: float) -> None:
        super().__init__(size, dtype)
        self.epsilon = epsilon

    def _update(self, x: Floats, g: Floats, lr: float, scratch: Floats, *state: Floats) -> None:
        (s,) = state
        s += np.multiply(g, g, out=scratch)
        _root_plus(s, self.epsilon, scratch)
        np.divide(g, scratch, out=scratch)
        scratch *= lr
        x -= scratch


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015, algorithm 1), corrected for their start at zero.

    m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
    x -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
    """

    remembers = ("mean", "mean_square")

    def __init__(
        self, size: int, dtype: DTypeLike, *, beta1: float, beta2: float, epsilon: float
    ) -> None:
        super().__init__(size, dtype)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon

    def _update(self, x: Floats, g: Floats, lr: float, scratch: Floats, *state: Floats) -> None:
        m, v = state
        m *= self.beta1
        m += np.multiply(g, 1 - self.beta1, out=scratch)
        _average_square(v, g, self.beta2, scratch)
        # Section 2 of the paper: the correction of v moved out of the root saves a pass over it.
        root = sqrt(1 - self.beta2**self.steps)
        _root_plus(v, self.epsilon * root, scratch)
        np.divide(m, scratch, out=scratch)
        scratch *= lr * root / (1 - self.beta1**self.steps)
        x -= scratch


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).

    x -= lr weight_decay x, and then Adam's step, whose moments do not see the decay.

    The paper scales the decay by its schedule alone; here, as is usual, by ``lr``, which is the
    schedule times the base rate. Every parameter decays, biases too.
    """

    def __init__(
        self,
        size: int,
        dtype: DTypeLike,
        *,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
    ) -> None:
        super().__init__(size, dtype, beta1=beta1, beta2=beta2, epsilon=epsilon)
        self.weight_decay = weight_decay

    def _update(self, x: Floats, g: Floats, lr: float, scratch: Floats, *state: Floats) -> None:
        x *= 1 - lr * self.weight_decay
        super()._update(x, g, lr, scratch, *state)


# Each with the numbers of its formula.
OPTIMIZERS: dict[str, tuple[type[Optimizer], tuple[str, ...]]] = {
    "sgd": (SGD, ()),
    "momentum": (Momentum, ("momentum",)),
    "rmsprop": (RMSprop, ("decay", "epsilon")),
    "adagrad": (Adagrad, ("epsilon",)),
    "adam": (Adam, ("beta1", "beta2", "epsilon")),
    "adamw": (AdamW, ("beta1", "beta2", "epsilon", "weight_decay")),
}


def make_optimizer(
    kind: str, size: int, dtype: DTypeLike, numbers: Mapping[str, float]
) -> Optimizer:
    """An optimizer for ``size`` parameters; of ``numbers`` it takes those in its formula."""
    optimizer, names = OPTIMIZERS[kind]
    return optimizer(size, dtype, **{name: numbers[name] for name in names})


def clip_by_norm(grads: Floats, limit: float) -> float:
    """Scale ``grads`` down to the norm ``limit`` if theirs is larger (Pascanu et al. 2013).

    Returns the Euclidean norm before clipping. A norm that is not finite is returned as it is
    and nothing is clipped: the caller must not apply such gradients.
    """
    norm = _norm(grads)
    if isfinite(norm) and norm > limit:
        # in float64, since the factor for a huge norm is no normal float32
        np.multiply(grads, limit / norm, out=grads, dtype=np.float64, casting="same_kind")
    return norm


def clip_by_value(grads: Floats, limit: float) -> float:
    """Cut every entry to [-limit, limit] (Graves 2013); returns as `clip_by_norm` does."""
    norm = _norm(grads)
    if isfinite(norm):
        np.clip(grads, -limit, limit, out=grads)
    return norm


def _norm(grads: Floats) -> float:
    """Summed in float64: squares of float32 numbers above 1.8e19 exceed float32."""
    wide = np.empty(min(grads.size, BLOCK), np.float64)
    total = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the result
        for block in blocks(grads.size):
            g = wide[: grads[block].size]
            np.copyto(g, grads[block])
            total += float(np.dot(g, g))
    return sqrt(total)


def blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def _average_square(s: Floats, g: Floats, decay: float, scratch: Floats) -> None:
    """Running average of squares: s = decay s + (1 - decay) g^2."""
    s *= decay
    np.multiply(g, g, out=scratch)
    scratch *= 1 - decay
    s += scratch


def _root_plus(s: Floats, epsilon: float, out: Floats) -> None:
    """The denominator: out = sqrt(s) + epsilon."""
    np.sqrt(s, out=out)
    out += epsilon
