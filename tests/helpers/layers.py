"""Layers for tests: away from their start, where gains of 1 and biases of 0 would hide errors."""

from typing import Any, NamedTuple

import numpy as np

from charlstm.nn.cells import CELLS, Start, State

CELL_NAMES = sorted(CELLS)


def random_layer(cell: str, D: int, H: int, seed: int = 3, dtype: type = np.float64) -> Any:
    rng = np.random.default_rng(seed)
    layer = CELLS[cell].build(D, H, rng, Start(dtype=dtype))
    for parameter in layer.parameters().values():
        parameter.value += (0.4 * rng.standard_normal(parameter.value.shape)).astype(dtype)
    return layer


def random_state(B: int, H: int, rng: np.random.Generator, dtype: type = np.float64) -> State:
    return State(*(0.5 * rng.standard_normal((2, B, H))).astype(dtype))


class Outcome(NamedTuple):
    out: Any
    end: State
    dx: Any
    dstart: State
    gradients: dict[str, Any]


def both_ways(layer, x, state, dout, *, dstate=None, mask=None, tape=None) -> Outcome:
    """Forward and backward; copies of everything that came out."""
    T, B = x.shape[:2]
    tape = tape or layer.tape(T, B)
    out, end = layer.forward(x, state, tape, mask)
    out = out.copy()
    dx, dstart = layer.backward(dout, tape, dstate)
    gradients = {name: p.grad.copy() for name, p in layer.parameters().items()}
    return Outcome(out, end, dx, dstart, gradients)
