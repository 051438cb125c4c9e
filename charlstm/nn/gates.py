"""The four gates, and what may happen to a cell on its way out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charlstm.nn.parameter import Array

# The order in memory. o, i, f stand together because they go through the sigmoid; i, f, g stand
# together because their gradients come from dc (that of o comes from dh).
GATES = ("o", "i", "f", "g")

# As arrays: NumPy takes as long to make one of a Python number as to halve a hundred numbers.
HALF, ONE = np.array(0.5, np.float32), np.array(1.0, np.float32)


def activate(a: Array, out: Array) -> None:
    """Pre-activations ``(4, ...)`` to gates: sigmoid for o, i, f and tanh for g. Overwrites ``a``;
    ``out`` may be ``a`` itself. Whatever can work on ``a`` does: where it is contiguous and ``out``
    is not, that is up to twice as fast.
    """
    np.negative(a[:3], out=a[:3])
    activate_negated(a, out)


def activate_negated(a: Array, out: Array) -> None:
    """As `activate`, where the pre-activations of o, i and f have the other sign already.

    ``sigmoid(a) = 1 / (1 + exp(-a))``. Loops that call it say `gates_may_saturate`, once.
    """
    oif, g = a[:3], a[3]
    np.exp(oif, out=oif)
    np.add(oif, ONE, out=oif)
    np.divide(ONE, oif, out=out[:3])  # np.reciprocal takes up to twice as long
    np.tanh(g, out=out[3])


def gates_may_saturate() -> np.errstate:
    """Far below 0 exp(-a) is infinite, far above it is 0: the sigmoid is 0 and 1, as it should."""
    return np.errstate(over="ignore", under="ignore")


def activate_halved(a: Array, out: Array) -> None:
    """As `activate`, where the pre-activations of o, i and f are halved already.

    ``sigmoid(a) = (1 + tanh(a / 2)) / 2`` needs no `gates_may_saturate`, which takes longer than
    the gates of one text at one step. NumPy's tanh takes half as long again as exp with AVX2.
    """
    oif, g = a[:3], a[3]
    np.tanh(oif, out=oif)
    np.add(oif, ONE, out=oif)
    np.multiply(oif, HALF, out=out[:3])
    np.tanh(g, out=out[3])


def sigmoids_scaled(parameter: Array, factor: float) -> Array:
    """A copy, ``(4, ...)``, with the part of o, i and f times -1, for `activate_negated`, or times
    1/2, for `activate_halved`. Neither rounds anything.
    """
    copy = parameter.copy()
    copy[:3] *= factor
    return copy


@dataclass(frozen=True)
class Squash:
    """What happens to the cell on its way out: ``h = o * s``, ``s = squash(c)``.

    ``backward`` gets ``o``, ``s`` and ``h`` and writes dh/dc, which is ``o`` times ds/dc, into
    ``out``.
    """

    forward: Callable[[Array, Array], Array]
    backward: Callable[[Array, Array, Array, Array], None]


def _tanh(c: Array, out: Array) -> Array:
    return np.tanh(c, out)


def _tanh_backward(o: Array, s: Array, h: Array, out: Array) -> None:
    """``o (1 - s^2)``, which is ``o - s h``."""
    np.multiply(s, h, out=out)
    np.subtract(o, out, out=out)


def _identity(c: Array, out: Array) -> Array:
    np.copyto(out, c)
    return out


def _identity_backward(o: Array, s: Array, h: Array, out: Array) -> None:
    np.copyto(out, o)


TANH = Squash(_tanh, _tanh_backward)
IDENTITY = Squash(_identity, _identity_backward)


@dataclass(frozen=True)
class InputGate:
    """What i may be beside f.

    ``bound`` lowers an i that is too large, in place; it may write to ``scratch``. ``backward``
    gets the gates that came out, and what multiplies dc in da_i and da_f as if nothing had been
    lowered, which it corrects in place.
    """

    bound: Callable[[Array, Array, Array], None]
    backward: Callable[[Array, Array, Array, Array], None]


def _leave(i: Array, f: Array, scratch: Array) -> None:
    pass


def _leave_backward(i: Array, f: Array, da_i_dc: Array, da_f_dc: Array) -> None:
    pass


def _cap(i: Array, f: Array, scratch: Array) -> None:
    np.subtract(ONE, f, out=scratch)
    np.minimum(i, scratch, out=i)


def _cap_backward(i: Array, f: Array, da_i_dc: Array, da_f_dc: Array) -> None:
    """Where i is 1 - f, only f moves it, the other way; i (1 - i) is f (1 - f) there."""
    to_f = da_i_dc * (i >= ONE - f)
    da_i_dc -= to_f
    da_f_dc -= to_f


INPUT_GATES = {
    "free": InputGate(_leave, _leave_backward),
    "capped": InputGate(_cap, _cap_backward),
}
"""By name. ``capped``: i = min(i, 1 - f) (Melis, Dyer & Blunsom 2018). What is kept and what is new
are shares of at most one then, and where no norm follows, a cell within [-1, 1] stays there.
"""
