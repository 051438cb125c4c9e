"""A model one character at a time: for sampling, where there is no sequence to work ahead on.

`PlainStepper` is the training forward pass on sequences of one step. `FastStepper` computes the
same with everything prepared: for a layer's input and state side by side in one row, both products
are one; with a one-hot input ``x W_x + b`` is looked up in a table; and what leads to a sigmoid is
halved beforehand (see ``gates.activate_halved``), which rounds nothing. Nothing is allocated per
character. It is written for the cells of ``LSTM``; others go the plain way.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from charlstm.nn.finite import quiet
from charlstm.nn.gates import activate_halved, sigmoids_scaled
from charlstm.nn.lstm import LSTM, State
from charlstm.nn.mixture import Mixture, log_mean
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.nn.predictor import Predictor
from charlstm.nn.tiles import product, tiling


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
    if isinstance(model, CharLM) and all(isinstance(layer, LSTM) for layer in model.layers):
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
    """The equations of `charlstm.nn.lstm`, with ``[x h] [W_x; W_h]`` as one product."""

    def __init__(self, model: CharLM, states: Sequence[State]) -> None:
        B = len(states[0].h)
        self._layers = [
            _FastLayer(layer, state, one_hot=number == 0 and model.embedding is None)
            for number, (layer, state) in enumerate(zip(model.layers, states, strict=True))
            if isinstance(layer, LSTM)
        ]
        self._table = None if model.embedding is None else model.embedding.E.value
        self._model = model
        self._logits = np.empty((B, model.shape.vocabulary_size), model.values.dtype)

    def step(self, ids: Array) -> Array:
        first, *above = self._layers
        e = ids if self._table is None else self._table[ids]
        outputs = [first.step_one_hot(ids) if self._table is None else first.step(e)]
        for layer in above:
            outputs.append(layer.step(self._model.input_above(outputs[-1], e)))
        return self._model.linear.forward(self._model.top(outputs), self._logits)

    def restart(self, lanes: Array, states: Sequence[State]) -> None:
        for layer, state in zip(self._layers, states, strict=True):
            layer.restart(lanes, state)


class _FastLayer:
    """One layer's weights, packed; its state; and scratch."""

    def __init__(self, layer: LSTM, state: State, *, one_hot: bool) -> None:
        W_x, W_h, b = (sigmoids_scaled(p.value, 0.5) for p in (layer.W_x, layer.W_h, layer.b))
        (B, H), dtype = state.h.shape, state.h.dtype
        D = 0 if one_hot else W_x.shape[1]
        self._table = W_x + b[:, np.newaxis] if one_hot else None
        cut = tiling(B, D + H, H)
        W = W_h if one_hot else np.concatenate([W_x, W_h], axis=1)
        self._times_W = product(W, cut, out=np.empty((4, B, H), dtype))
        self._b = np.repeat(b[:, np.newaxis], B, axis=1)
        self._xh = np.empty((B, D + H), dtype)
        self._x, self._h = self._xh[:, :D], self._xh[:, D:]
        self._h[...] = state.h
        self._c = state.c.copy()
        self._looked_up = np.empty((4, B, H), dtype)
        self._s, self._product = np.empty((B, H), dtype), np.empty((B, H), dtype)
        self._bound, self._squash = layer.input_gate.bound, layer.squash.forward

    def restart(self, lanes: Array, state: State) -> None:
        self._h[lanes], self._c[lanes] = state

    def step(self, x: Array) -> Array:
        self._x[...] = x
        a = self._times_W(self._xh)
        a += self._b
        return self._finish(a)

    def step_one_hot(self, ids: Array) -> Array:
        assert self._table is not None
        a = self._times_W(self._xh)
        a += np.take(self._table, ids, axis=1, out=self._looked_up, mode="clip")
        return self._finish(a)

    def _finish(self, a: Array) -> Array:
        """From pre-activations to h."""
        activate_halved(a, out=a)
        o, i, f, g = a
        self._bound(i, f, self._product)
        c = self._c
        c *= f
        c += np.multiply(i, g, out=self._product)
        np.multiply(o, self._squash(c, self._s), out=self._h)
        return self._h
