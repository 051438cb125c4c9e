"""LSTM layer: forward through time, backward through time.

For every step, with row vectors x and h (Hochreiter & Schmidhuber 1997; forget gate: Gers et al.
2000; all gates in one block as in CS231n, assignment 3):

    a = x W_x + h_prev W_h + b          one matrix per gate, order o, i, f, g
    o, i, f = sigmoid(a_o, a_i, a_f)
    g = tanh(a_g)
    i = min(i, 1 - f)                   if it is capped (Melis, Dyer & Blunsom 2018), else as it is
    c = f * c_prev + i * g
    h = o * s,   s = squash(c)          squash is tanh (lstm) or the identity (simple)

Backward, with dh and dc arriving from the loss and from the step after:

    dc     += dh * o * squash'(c)
    da_o    = dh * s      * o (1 - o)
    da_i    = dc * g      * i (1 - i)
    da_f    = dc * c_prev * f (1 - f)
    da_g    = dc * i      * (1 - g^2)
    where i became 1 - f: da_f = dc * (c_prev - g) * f (1 - f) and da_i = 0
    dc_prev = dc * f
    dh_prev = da_o W_h,o^T + da_i W_h,i^T + da_f W_h,f^T + da_g W_h,g^T

Only dh and dc depend on the step after. The factors beside them do not, and are computed for many
steps at once; so are ``x W_x`` before the loop and the gradients of the parameters after it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.nn.cuts import Cuts
from charlstm.nn.gates import (
    GATES,
    ONE,
    InputGate,
    Squash,
    activate,
    gates_may_saturate,
)
from charlstm.nn.parameter import Array, Parameter, uniform
from charlstm.nn.projection import Input, empty_gradient, project, project_backward
from charlstm.nn.start import Start
from charlstm.nn.tiles import Tiling, product

# Elements of one (steps, B, H) array of factors: nine of them fit a 1 MB second-level cache.
FACTOR_BLOCK = 16 * 1024
# Cutting W_h takes about as long as a product with it, and a product in tiles two thirds as long.
ENOUGH_STEPS_TO_CUT = 8


class State(NamedTuple):
    """What a layer carries from one step to the next; ``h`` and ``c`` are ``(B, H)``."""

    h: Array
    c: Array


class Step(NamedTuple):
    """Views of one step of a tape, made once: indexing inside the loop would cost more than tanh
    does on a small layer. ``gates`` is ``(4, B, H)``: ``x W_x + b``, then o, i, f, g, then ``da``.
    """

    gates: Array
    o: Array
    i: Array
    f: Array
    g: Array
    c_prev: Array
    c: Array
    h_prev: Array
    h: Array
    s: Array


Places = NDArray[np.intp]
Begins = list[Places | None]
"""For every step the lanes in which something new begins, if there are any."""


class Tape:
    """One forward pass's activations, reused batch after batch.

    Row 0 of ``h`` and ``c`` is the state before the sequence. ``begins[t]`` are the lanes in which
    something new begins at step t, so that nothing comes before it: as if h_prev and c_prev were
    zero there. A forward pass fills ``gates`` with o, i, f, g; a backward pass overwrites them with
    the gradients of the pre-activations.
    """

    def __init__(self, T: int, B: int, H: int, dtype: np.dtype, cuts: Cuts) -> None:
        self.gates = np.empty((4, T, B, H), dtype)
        self.h = np.zeros((T + 1, B, H), dtype)
        self.c = np.zeros((T + 1, B, H), dtype)
        self.s = np.empty((T, B, H), dtype)
        self.x: Input | None = None
        self.mask: Array | None = None  # (T, B, H), or None: nothing is dropped
        self.cuts = cuts
        self.tiling = cuts.of(B, H, H) if T >= ENOUGH_STEPS_TO_CUT else Tiling(B, H)
        self.recurrent = np.empty((4, B, H), dtype)  # h_prev W_h; on the way back da W_h^T
        self.product = np.empty((B, H), dtype)
        self.steps = [self._step(t) for t in range(T)]
        self.begins: Begins = [None] * T
        self.begun: tuple[Places, Places] | None = None  # steps and lanes of all of these
        self.factors = Factors(min(T, max(1, FACTOR_BLOCK // (B * H))), B, H, dtype)

    def _step(self, t: int) -> Step:
        o, i, f, g = gates = self.gates[:, t]
        c_prev, c, h_prev, h = self.c[t], self.c[t + 1], self.h[t], self.h[t + 1]
        return Step(gates, o, i, f, g, c_prev, c, h_prev, h, self.s[t])

    def times(self, W: Array) -> Callable[[Array], Array]:
        """``times_W(h)``: ``(B, H)`` or ``(4, B, H)`` times ``W`` ``(4, H, H)``, in `recurrent`."""
        return product(W, self.tiling, out=self.recurrent)

    def blocks_from_the_end(self) -> Iterator[tuple[int, int]]:
        size = self.factors.size
        for stop in range(len(self.steps), 0, -size):
            yield max(0, stop - size), stop


class Factors:
    """The local derivatives of a block of steps: what multiplies dh and dc in the equations.

    With ``h = o s`` known and ``u = i g`` shared, they take fewer passes than as they stand there:

        da_o / dh = h (1 - o)
        da_i / dc = u (1 - i),   da_f / dc = c_prev f (1 - f),   da_g / dc = i - u g
    """

    def __init__(self, size: int, B: int, H: int, dtype: np.dtype) -> None:
        self.size = size
        self.dc_dh = np.empty((size, B, H), dtype)
        self.da = np.empty((4, size, B, H), dtype)  # that of o over dh, of the others over dc
        self.da_o_dh, self.da_ifg_dc = self.da[0], self.da[1:]
        self.steps = [(self.dc_dh[t], self.da_o_dh[t], self.da_ifg_dc[:, t]) for t in range(size)]

    def compute(
        self, tape: Tape, start: int, stop: int, squash: Squash, input_gate: InputGate
    ) -> None:
        n = stop - start
        o, i, f, g = gates = tape.gates[:, start:stop]
        s, h, c_prev = tape.s[start:stop], tape.h[start + 1 : stop + 1], tape.c[start:stop]
        da_o, da_i, da_f, da_g = da = self.da[:, :n]

        squash.backward(o, s, h, self.dc_dh[:n])
        np.subtract(ONE, gates[:3], out=da[:3])
        da_o *= h
        u = np.multiply(i, g, out=da_g)
        da_i *= u
        u *= g
        np.subtract(i, u, out=da_g)
        da_f *= f
        da_f *= c_prev
        if tape.begun is not None:
            for rows, lanes in zip(da_f, tape.begins[start:stop], strict=True):
                forget(lanes, rows)
        if tape.mask is not None:
            da_i *= tape.mask[start:stop]
            da_g *= tape.mask[start:stop]
        input_gate.backward(i, f, da_i, da_f)


def forget(lanes: Places | None, rows: Array) -> None:
    """Rows ``(..., B, H)`` become zero in the lanes in which something new begins."""
    if lanes is not None:
        rows[..., lanes, :] = 0.0


def forget_all(places: tuple[Places, Places] | None, rows: Array) -> None:
    """As `forget`, of all steps of ``(T, B, H)`` at once."""
    if places is not None:
        rows[places] = 0.0


class Layer(ABC):
    """A layer of H units of any cell. Holds parameters and nothing else, so evaluating or sampling
    in the middle of training cannot disturb a backward pass.

    ``W_x``: ``(4, D, H)``, ``W_h``: ``(4, H, H)``; gates in the order of ``gates.GATES``.
    """

    tape_kind: ClassVar[type[Tape]] = Tape

    def __init__(self, D: int, H: int, rng: np.random.Generator, squash: Squash, start: Start):
        reach = 1.0 / np.sqrt(H)
        self.hidden_size = H
        self.squash = squash
        self.input_gate = start.input_gate
        self.cuts = start.cuts
        self.W_x = Parameter(uniform(rng, (4, D, H), start.input_reach or reach, start.dtype))
        self.W_h = Parameter(uniform(rng, (4, H, H), reach, start.dtype))

    @abstractmethod
    def parameters(self) -> dict[str, Parameter]:
        """By name, in the order of the flat vector."""

    @abstractmethod
    def forward(
        self, x: Input, state: State, tape: Tape, mask: Array | None = None
    ) -> tuple[Array, State]:
        """``(T, B, D)``, ids ``(T, B)`` or what they look up, to ``(T, B, H)``, a view of the tape;
        new state. ``mask``: ``(T, B, H)``, what recurrent dropout multiplies g with.
        """

    @abstractmethod
    def backward(
        self, dout: Array, tape: Tape, dstate: State | None = None
    ) -> tuple[Array | None, State]:
        """``dout``: ``(T, B, H)``; returns dx (None for one-hot x; that of the table that x was
        looked up in) and the gradient of the first state. Writes the parameters' ``grad``.
        ``dstate`` is the gradient arriving at the last state: none in truncated backpropagation.
        """

    def tape(self, T: int, B: int) -> Tape:
        return self.tape_kind(T, B, self.hidden_size, self.W_h.value.dtype, self.cuts)

    def zero_state(self, B: int) -> State:
        shape, dtype = (B, self.hidden_size), self.W_h.value.dtype
        return State(np.zeros(shape, dtype), np.zeros(shape, dtype))


class LSTM(Layer):
    """The layer of the equations above. ``b``: ``(4, H)``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rng: np.random.Generator,
        start: Start,
        *,
        squash: Squash,
    ) -> None:
        super().__init__(input_size, hidden_size, rng, squash, start)
        self.b = Parameter(np.zeros((4, hidden_size), start.dtype))
        self.b.value[GATES.index("f")] = start.forget_bias

    @staticmethod
    def shapes(D: int, H: int) -> dict[str, tuple[int, ...]]:
        """The parameters' shapes, known before any memory is taken."""
        return {"W_x": (4, D, H), "W_h": (4, H, H), "b": (4, H)}

    def parameters(self) -> dict[str, Parameter]:
        return {"W_x": self.W_x, "W_h": self.W_h, "b": self.b}

    @gates_may_saturate()
    def forward(
        self, x: Input, state: State, tape: Tape, mask: Array | None = None
    ) -> tuple[Array, State]:
        assert mask is None, "recurrent dropout is not defined for this cell"
        times_W_h, i_g = tape.times(self.W_h.value), tape.product
        squash, bound = self.squash.forward, self.input_gate.bound
        tape.x = x
        tape.h[0], tape.c[0] = state
        project(x, self.W_x.value, self.b.value, out=tape.gates, cuts=self.cuts)
        for begins, step in zip(tape.begins, tape.steps, strict=True):
            gates, o, i, f, g, c_prev, c, h_prev, h, s = step
            a = times_W_h(h_prev)
            forget(begins, a)
            a += gates
            activate(a, out=gates)
            bound(i, f, i_g)
            np.multiply(f, c_prev, out=c)
            forget(begins, c)
            np.multiply(i, g, out=i_g)
            np.add(c, i_g, out=c)
            squash(c, s)
            np.multiply(o, s, out=h)
        return tape.h[1:], State(tape.h[-1].copy(), tape.c[-1].copy())

    def backward(
        self, dout: Array, tape: Tape, dstate: State | None = None
    ) -> tuple[Array | None, State]:
        times_W_h_T, dh_c = tape.times(self.W_h.value.transpose(0, 2, 1)), tape.product
        dh, dc = self.zero_state(dout.shape[1]) if dstate is None else map(np.copy, dstate)
        for start, stop in tape.blocks_from_the_end():
            tape.factors.compute(tape, start, stop, self.squash, self.input_gate)
            for t in range(stop - 1, start - 1, -1):
                dc_dh, da_o_dh, da_ifg_dc = tape.factors.steps[t - start]
                step = tape.steps[t]
                da, da_o, f = step.gates, step.o, step.f
                dh += dout[t]
                np.multiply(dh, dc_dh, out=dh_c)
                dc += dh_c
                np.multiply(dc, f, out=dh_c)  # before da_f takes its place
                np.multiply(dh, da_o_dh, out=da_o)
                np.multiply(dc, da_ifg_dc, out=da[1:])
                dc, dh_c = dh_c, dc
                np.add.reduce(times_W_h_T(da), axis=0, out=dh)
                forget(tape.begins[t], dc)
                forget(tape.begins[t], dh)
        dW_x, dW_h, db = self.W_x.grad, self.W_h.grad, self.b.grad
        dx = weight_gradients(tape, self.W_x.value, dW_x=dW_x, dW_h=dW_h, db=db)
        return dx, State(dh, dc.copy())


def weight_gradients(
    tape: Tape, W_x: Array, *, dW_x: Array, dW_h: Array, db: Array | None
) -> Array | None:
    """After a backward pass has left ``da`` in the tape: writes the gradients of what ``x`` and
    ``h_prev`` are multiplied with, for all steps at once; returns dx, see `project_backward`.
    """
    da, x = tape.gates, tape.x
    assert x is not None, "backward before forward"
    _, T, B, H = da.shape
    forget_all(tape.begun, tape.h)
    h_prev = tape.h[:-1].reshape(T * B, H)
    np.matmul(h_prev.T, da.reshape(4, T * B, H), out=dW_h)
    dx = empty_gradient(x)
    project_backward(da, x, W_x, dW=dW_x, db=db, dx=dx, cuts=tape.cuts)
    return dx
