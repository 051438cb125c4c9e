"""Gradients, checked against differences of the loss.

Central differences at two distances, combined so that their errors in d^2 cancel:

    dL/dx  ~  (8 (L(x + d) - L(x - d)) - (L(x + 2d) - L(x - 2d))) / (12 d)

What remains is of the order of d^4, so d need not be tiny and rounding matters less: in float64 the
two sides agree to about 1e-9 of the largest entry.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from charlstm.nn.cells import State
from charlstm.nn.dropout import Dropout
from charlstm.nn.embedding import Embedding
from charlstm.nn.gate_names import by_gate
from charlstm.nn.loss import softmax_cross_entropy
from charlstm.nn.model import CharLM, Masks, ModelTape, Shape
from charlstm.nn.parameter import Array, Parameter

DISTANCE = 5e-5
CLOSER = DISTANCE / 32  # where a bend, that of a capped gate, may lie between the points
LIMIT = 1e-6
# Gradients smaller than this are compared absolutely: rounding leaves 1e-12 where the truth is 0,
# and as many times more as the points are closer.
NEGLIGIBLE = 1e-5


class Row(NamedTuple):
    """One array of the check: the largest entry of its gradient, and the relative error."""

    name: str
    shape: tuple[int, ...]
    largest: float
    error: float


def numerical_gradient(loss: Callable[[], float], x: Array, distance: float = DISTANCE) -> Array:
    """The gradient of ``loss()`` with respect to ``x``, which ``loss`` reads and which is moved
    in place, entry by entry, and put back.
    """
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        start = x[place]
        at = []
        for steps in (1, -1, 2, -2):
            x[place] = start + steps * distance
            at.append(loss())
        x[place] = start
        near, far = at[0] - at[1], at[2] - at[3]
        gradient[place] = (8.0 * near - far) / (12.0 * distance)
    return gradient


def relative_error(gradient: Array, reference: Array, negligible: float = NEGLIGIBLE) -> float:
    """The largest difference, relative to the largest entry of either array.

    Relative to each entry would be unfair: an entry that is nearly zero is all rounding.
    """
    largest = max(float(np.abs(gradient).max()), float(np.abs(reference).max()), negligible)
    error = float(np.abs(gradient - reference).max()) / largest
    return error if np.isfinite(error) else float("inf")


def compare(
    loss: Callable[[], float], values: Mapping[str, Array], gradients: Mapping[str, Array]
) -> list[Row]:
    """One row for every array in ``values``; ``loss`` reads these very arrays. What is wrong is so
    from any distance; what only looks so from afar is not.
    """
    rows = []
    for name, value in values.items():
        gradient, reference = gradients[name], numerical_gradient(loss, value)
        error = relative_error(gradient, reference)
        if error > LIMIT:
            closer = numerical_gradient(loss, value, CLOSER)
            negligible = NEGLIGIBLE * DISTANCE / CLOSER
            error = min(error, relative_error(gradient, closer, negligible))
        rows.append(Row(name, value.shape, float(np.abs(reference).max()), error))
    return rows


# The check of a whole model ---------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """A model small enough to move every number in it; no two axes are alike."""

    T: int = 6
    B: int = 3
    vocabulary_size: int = 7
    hidden_size: int = 5
    embedding_size: int = 4
    layers_at_most: int = 4

    def shrink(self, shape: Shape) -> Shape:
        """Cell, layers and start of ``shape``, in float64 and in these sizes."""
        return replace(
            shape,
            layers=min(shape.layers, self.layers_at_most),
            vocabulary_size=self.vocabulary_size,
            hidden_size=self.hidden_size,
            embedding_size=self.embedding_size if shape.embedding_size else 0,
            dtype="float64",
        )


@dataclass
class Batch:
    ids: Array
    targets: Array
    states: list[State]
    masks: Masks | None
    tape: ModelTape


def check_model(
    shape: Shape,
    *,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    seed: int = 1,
    sizes: Sizes = Sizes(),
    gate_by_gate: bool = False,
) -> list[Row]:
    """Every parameter, the initial states of every layer and the embedded input of a model like
    ``shape``, shrunk to ``sizes``. Dropout masks are drawn once and then held.
    """
    rng = np.random.default_rng([seed, 1])
    model = CharLM(sizes.shrink(shape), seed)
    # Away from the start, where gains of 1 and biases of 0 would hide errors in what they multiply.
    model.values += 0.4 * rng.standard_normal(model.values.shape)
    batch = _random_batch(model, sizes, rng)
    rates = Dropout(dropout, recurrent_dropout, seed)
    batch.masks = model.draw_masks(rates, 1, sizes.T, sizes.B)
    rows = _check_parameters_and_states(model, batch, gate_by_gate)
    if model.embedding is not None:
        rows += _check_input(model, batch, rng)
    return rows


def _random_batch(model: CharLM, sizes: Sizes, rng: np.random.Generator) -> Batch:
    """States start away from zero: a state of zeros would hide errors in what it multiplies."""
    T, B, V = sizes.T, sizes.B, sizes.vocabulary_size
    states = [
        State(0.5 * rng.standard_normal(h.shape), 0.5 * rng.standard_normal(c.shape))
        for h, c in model.zero_states(B)
    ]
    ids, targets = rng.integers(V, size=(T, B)), rng.integers(V, size=(T, B))
    return Batch(ids, targets, states, None, model.tape(T, B))


def _loss(model: CharLM, batch: Batch) -> float:
    logits, _ = model.forward(batch.ids, batch.states, batch.tape, batch.masks)
    return float(softmax_cross_entropy(logits, batch.targets.reshape(-1)).mean())


def _compute_gradients(model: CharLM, batch: Batch) -> None:
    model.loss_and_gradients(batch.ids, batch.targets, batch.states, batch.tape, masks=batch.masks)


def _check_parameters_and_states(model: CharLM, batch: Batch, gate_by_gate: bool) -> list[Row]:
    _compute_gradients(model, batch)
    values = {name: p.value for name, p in model.parameters().items()}
    gradients = {name: p.grad.copy() for name, p in model.parameters().items()}
    if gate_by_gate:
        values, gradients = by_gate(values), by_gate(gradients)
    for number, (state, dstate) in enumerate(zip(batch.states, batch.tape.dstates, strict=True)):
        values |= {f"state.{number}.h": state.h, f"state.{number}.c": state.c}
        gradients |= {f"state.{number}.h": dstate.h, f"state.{number}.c": dstate.c}
    return compare(lambda: _loss(model, batch), values, gradients)


def _check_input(model: CharLM, batch: Batch, rng: np.random.Generator) -> list[Row]:
    """Each step's embedded character moved by itself, which no change of ``E`` could do."""
    T, B = batch.ids.shape
    given = GivenInput(rng.standard_normal((T, B, model.shape.embedding_size)))
    model.embedding = given
    _compute_gradients(model, batch)
    return compare(lambda: _loss(model, batch), {"x": given.E.value}, {"x": given.E.grad.copy()})


class GivenInput(Embedding):
    """Stands in for an embedding: its output is a value of its own for every step."""

    def __init__(self, x: Array) -> None:
        self.E = Parameter(x)

    def forward(self, ids: Array, out: Array | None) -> Array:
        return self.E.value

    def backward(self, dx: Array, ids: Array) -> None:
        np.copyto(self.E.grad, dx)
