"""A model one character at a time: for sampling, where there is no sequence to work ahead on.

`PlainStepper` is the training forward pass on sequences of one step. `FastStepper` computes the
same with everything prepared: for a layer's input and state side by side in one row, both products
are one; what a character's row of numbers, one-hot or embedded, comes to in the first layer, ``x
W_x + b``, is looked up in a table; and what leads to a sigmoid is halved or negated beforehand (see
``gates.sigmoids_scaled``), which rounds nothing; weights that a norm follows are centred. Nothing
is allocated per character. A cell for which nobody has written a layer here goes the plain way.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from charlstm.nn.finite import quiet
from charlstm.nn.gates import (
    activate_halved,
    activate_negated,
    gates_may_saturate,
    sigmoids_scaled,
)
from charlstm.nn.layer_norm_lstm import LayerNormLSTM, centre, normalise, scale
from charlstm.nn.lstm import LSTM, Layer, State
from charlstm.nn.mixture import Mixture, log_mean
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.nn.predictor import Predictor
from charlstm.nn.tiles import product, row_product, tiling

SOON = 2048
"""Characters, of a text or of many, after which a table with a row for each symbol pays."""
MANY = 2048
"""Numbers of a gate from which `activate_negated` is quicker than `activate_halved`."""


class Stepper(Protocol):
    """Reads one character of each of B texts and scores what may follow."""

    def step(self, ids: Array) -> Array:
        """From ids ``(B,)`` to logits ``(B, V)``, which the next step overwrites."""

    def restart(self, lanes: Array, states: Sequence[State]) -> None:
        """Other texts go on in these lanes: from ``states`` ``(1, H)``, all of them."""


def stepper_for(model: Predictor, states: Sequence[State]) -> Stepper:
    """The fastest stepper for a model, starting from ``states`` (which it does not change).

    What overflows in a table of it may never be looked up, so nothing is told of it here.
    """
    if isinstance(model, Mixture):
        return MixtureStepper(model, states)
    if isinstance(model, CharLM) and all(type(layer) in FAST_LAYERS for layer in model.layers):
        with quiet():
            return FastStepper(model, states)
    return PlainStepper(model, states)


class PlainStepper:
    """Sequences of length one."""

    def __init__(self, model: Predictor, states: Sequence[State]) -> None:
        self._model = model
        self._states = [State(state.h.copy(), state.c.copy()) for state in states]
        self._tape = model.tape(1, len(states[0].h))

    def step(self, ids: Array) -> Array:
        logits, self._states = self._model.forward(ids[np.newaxis], self._states, self._tape)
        return logits

    def restart(self, lanes: Array, states: Sequence[State]) -> None:
        for own, new in zip(self._states, states, strict=True):
            own.h[lanes], own.c[lanes] = new


class MixtureStepper:
    """The steppers of all models, side by side."""

    def __init__(self, mixture: Mixture, states: Sequence[State]) -> None:
        split = mixture.split(states)
        self._steppers = [stepper_for(*pair) for pair in zip(mixture.models, split, strict=True)]
        self._split = mixture.split

    def step(self, ids: Array) -> Array:
        return log_mean([stepper.step(ids) for stepper in self._steppers])

    def restart(self, lanes: Array, states: Sequence[State]) -> None:
        for stepper, own in zip(self._steppers, self._split(states), strict=True):
            stepper.restart(lanes, own)


class FastStepper:
    """The equations of the cells, with ``[x h] [W_x; W_h]`` as one product."""

    def __init__(self, model: CharLM, states: Sequence[State]) -> None:
        B = len(states[0].h)
        E = None if model.embedding is None else model.embedding.E.value
        self._table = E if model.shape.embeds_each(SOON) else None
        first = None if self._table is not None else _rows_of(E)
        self._layers = [
            FAST_LAYERS[type(layer)](layer, state, None if number else first)
            for number, (layer, state) in enumerate(zip(model.layers, states, strict=True))
        ]
        self._model = model
        self._logits = np.empty((B, model.shape.vocabulary_size), model.values.dtype)

    def step(self, ids: Array) -> Array:
        first, *above = self._layers
        e = ids if self._table is None else self._table[ids]
        outputs = [first.step_by_id(ids) if self._table is None else first.step(e)]
        for layer in above:
            outputs.append(layer.step(self._model.input_above(outputs[-1], e)))
        return self._model.linear.forward(self._model.top(outputs), self._logits)

    def restart(self, lanes: Array, states: Sequence[State]) -> None:
        for layer, state in zip(self._layers, states, strict=True):
            layer.restart(lanes, state)


Weights = tuple[Array, Array, Array]
"""W_x, W_h and b, ``(4, H)``, as a layer is to use them."""


Rows = Callable[[Array], Array]
"""From W_x to what each symbol comes to, ``(4, V, H)``: for a layer whose input is looked up."""


def _rows_of(E: Array | None) -> Rows:
    """For rows of ``E`` ``(V, D)``, or one-hot ones."""
    return lambda W_x: W_x if E is None else E @ W_x


def _activation(numbers: int) -> tuple[float, Callable[[Array, Array], None]]:
    """What goes from pre-activations, the sigmoids' scaled so, to gates of so many ``numbers``."""
    if numbers < MANY:
        return 0.5, activate_halved
    return -1.0, gates_may_saturate()(activate_negated)


class _FastLayer(ABC):
    """One layer's weights, packed; its state; and scratch."""

    def __init__(self, layer: Layer, weights: Weights, state: State, rows: Rows | None) -> None:
        W_x, W_h, b = weights
        (B, H), dtype = state.h.shape, state.h.dtype
        D = W_x.shape[1] if rows is None else 0
        self._table = None if rows is None else rows(W_x) + b[:, np.newaxis]
        W = np.concatenate([W_x, W_h], axis=1) if rows is None else W_h
        a, cut = np.empty((4, B, H), dtype), tiling(B, D + H, H)
        self._times_W = row_product(W, a) if B == 1 else product(W, cut, a)
        self._b = np.repeat(b[:, np.newaxis], B, axis=1)
        self._xh = np.empty((B, D + H), dtype)
        self._x, self._h = self._xh[:, :D], self._xh[:, D:]
        self._h[...] = state.h
        self._c = state.c.copy()
        self._looked_up = np.empty((4, B, H), dtype)
        self._s, self._product = np.empty((B, H), dtype), np.empty((B, H), dtype)
        self._bound = layer.input_gate.bound

    def restart(self, lanes: Array, state: State) -> None:
        self._h[lanes], self._c[lanes] = state

    def step(self, x: Array) -> Array:
        self._x[...] = x
        a = self._times_W(self._xh)
        a += self._b
        return self._finish(a)

    def step_by_id(self, ids: Array) -> Array:
        assert self._table is not None
        a = self._times_W(self._xh)
        a += np.take(self._table, ids, axis=1, out=self._looked_up, mode="clip")
        return self._finish(a)

    @abstractmethod
    def _finish(self, a: Array) -> Array:
        """From pre-activations ``(4, B, H)``, which it overwrites, to h."""


class _FastLSTM(_FastLayer):
    def __init__(self, layer: LSTM, state: State, rows: Rows | None) -> None:
        factor, self._activate = _activation(state.h.size)
        W_x, W_h, b = (sigmoids_scaled(p.value, factor) for p in (layer.W_x, layer.W_h, layer.b))
        super().__init__(layer, (W_x, W_h, b), state, rows)
        self._squash = layer.squash.forward

    def _finish(self, a: Array) -> Array:
        self._activate(a, a)
        o, i, f, g = a
        self._bound(i, f, self._product)
        c = self._c
        c *= f
        c += np.multiply(i, g, out=self._product)
        np.multiply(o, self._squash(c, self._s), out=self._h)
        return self._h


class _FastLayerNorm(_FastLayer):
    """Its weights are centred, so that ``a`` has the mean 0 that its norm asks for."""

    def __init__(self, layer: LayerNormLSTM, state: State, rows: Rows | None) -> None:
        W_x, W_h = (centre(W.value, out=np.empty_like(W.value)) for W in (layer.W_x, layer.W_h))
        (B, H), dtype = state.h.shape, state.h.dtype
        super().__init__(layer, (W_x, W_h, np.zeros((4, H), dtype)), state, rows)
        self._epsilon = layer.epsilon
        factor, self._activate = _activation(state.h.size)
        self._gains_and_shifts = layer.gains_and_shifts(B, factor)
        self._n, self._r = np.empty((4, B, H), dtype), np.empty((4, B, 1), dtype)

    def _finish(self, a: Array) -> Array:
        gain, shift, gain_c, shift_c = self._gains_and_shifts
        n, r, c, u = self._n, self._r, self._c, self._product
        scale(a, self._epsilon, n, r)
        p = np.multiply(gain, n, out=a)
        p += shift
        self._activate(p, p)
        o, i, f, g = p
        self._bound(i, f, u)
        c *= f
        np.multiply(i, g, out=u)
        u += c
        normalise(u, self._epsilon, n[0], r[0])
        np.multiply(gain_c, n[0], out=c)
        c += shift_c
        np.multiply(o, np.tanh(c, out=self._s), out=self._h)
        return self._h


FAST_LAYERS: dict[type[Layer], Callable[[Any, State, Rows | None], _FastLayer]] = {
    LSTM: _FastLSTM,
    LayerNormLSTM: _FastLayerNorm,
}
