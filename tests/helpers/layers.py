"""Layers for tests: away from their start, where gains of 1 and biases of 0 would hide errors."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from charlstm.nn.cells import CELLS, Start, State
from charlstm.nn.gates import INPUT_GATES
from charlstm.nn.model import Shape

CAPPED, SKIPS = " capped", " skips"
CELL_NAMES = [name + end for end in ("", CAPPED) for name in sorted(CELLS)]
"""Every cell, with a free input gate and with a capped one: "lstm", "lstm capped"."""


SKIPPING = [name + SKIPS for name in ("lstm", "simple capped", "layer-norm")]
"""The same in models with skips, which need an embedding: "lstm skips", "simple capped skips"."""


def kind_of(name: str) -> dict[str, Any]:
    """What `Shape` and the settings of ``model`` call it."""
    cell = name.removesuffix(SKIPS)
    return {
        "cell": cell.removesuffix(CAPPED),
        "input_gate": "capped" if cell.endswith(CAPPED) else "free",
        "skips": name.endswith(SKIPS),
    }


def settings_of(name: str) -> dict[str, Any]:
    return {f"model.{setting}": value for setting, value in kind_of(name).items()}


def shape_of(V: int, name: str, *sizes: Any, **others: Any) -> Shape:
    kind = kind_of(name)
    return replace(Shape(V, kind["cell"], *sizes, **others), **kind)


def random_layer(name: str, D: int, H: int, seed: int = 3, dtype: type = np.float64) -> Any:
    rng, kind = np.random.default_rng(seed), kind_of(name)
    start = Start(dtype=dtype, input_gate=INPUT_GATES[kind["input_gate"]])
    layer = CELLS[kind["cell"]].build(D, H, rng, start)
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
