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
    ``out`` may be ``a`` itself.

    ``sigmoid(a) = (1 + tanh(a / 2)) / 2``: NumPy's tanh is vectorised and cannot overflow. Whatever
    can work on ``a`` does: where it is contiguous and ``out`` is not, that is up to twice as fast.
    """
    np.multiply(a[:3], HALF, out=a[:3])
    activate_halved(a, out)


def activate_halved(a: Array, out: Array) -> None:
    """As `activate`, where the pre-activations of o, i and f are halved already."""
    oif, g = a[:3], a[3]
    np.tanh(oif, out=oif)
    np.add(oif, ONE, out=oif)
    np.multiply(oif, HALF, out=out[:3])
    np.tanh(g, out=out[3])


def halved(parameter: Array) -> Array:
    """A copy, ``(4, ...)``, with the part of o, i and f halved: for `activate_halved`."""
    copy = parameter.copy()
    copy[:3] *= HALF
    return copy


@dataclass(frozen=True)
class Squash:
    """What happens to the cell on its way out: ``h = o * squash(c)``.

    ``derivative`` gets the squashed value ``s``, writes ds/dc into ``out`` and returns it.
    """

    forward: Callable[[Array, Array], Array]
    derivative: Callable[[Array, Array], Array]


def _tanh(c: Array, out: Array) -> Array:
    return np.tanh(c, out)


def _tanh_derivative(s: Array, out: Array) -> Array:
    np.multiply(s, s, out=out)
    return np.subtract(ONE, out, out=out)


def _identity(c: Array, out: Array) -> Array:
    np.copyto(out, c)
    return out


def _identity_derivative(s: Array, out: Array) -> Array:
    del s
    out.fill(1.0)
    return out


TANH = Squash(_tanh, _tanh_derivative)
IDENTITY = Squash(_identity, _identity_derivative)


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
