"""A model reading a text from its first character on, piece by piece."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.nn.cells import Tape
from charlstm.nn.finite import finite_logits, finite_losses
from charlstm.nn.gates import GATES
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.text.vocabulary import Ids

PIECE = 1024

# What can be looked at. "c" is shown as tanh(c): the cell itself has no bounds.
QUANTITIES = {
    "c": "tanh(c), the cell",
    "h": "h, the output",
    "i": "i, the input gate",
    "f": "f, the forget gate",
    "o": "o, the output gate",
    "g": "g, the candidate",
}
SIGMOIDS = ("i", "f", "o")  # between 0 and 1; the others lie between -1 and 1


class ItemStarts(NamedTuple):
    """Where items of a list begin among ids, ``(T,)``, and the symbol that ends one."""

    begins: NDArray[np.bool_]
    end: int


class Piece(NamedTuple):
    """Steps ``start`` to ``stop`` of a reading. The arrays are views, overwritten by the next.

    ``probabilities``: ``(steps, V)``, of the character after each step. ``losses``: ``(steps,)``,
    the nats of that character; the last one of the text has no next and gets NaN.
    """

    start: int
    stop: int
    tapes: list[Tape]
    probabilities: Array
    losses: Array


def following(ids: Ids, items: ItemStarts | None) -> Ids:
    """What is predicted after each of ``ids`` but the last: the next, or an item's end."""
    if items is None:
        return ids[1:]
    return np.where(items.begins[1:], ids.dtype.type(items.end), ids[1:])


def read(
    model: CharLM, ids: Ids, size: int = PIECE, items: ItemStarts | None = None
) -> Iterator[Piece]:
    """The state starts at zero, also where an item begins; ``ids``: ``(characters,)``.

    Raises `OverflowedError` for what is not finite.
    """
    states, targets = model.zero_states(1), following(ids, items)
    tape = model.tape(size, 1)
    for start in range(0, len(ids), size):
        piece = np.asarray(ids[start : start + size], np.intp)
        if len(piece) < size:
            tape = model.tape(len(piece), 1)
        if items is not None:
            tape.begin_at(items.begins[start : start + size, np.newaxis])
        logits, states = finite_logits(model, piece[:, np.newaxis], states, tape)
        losses = _losses(model, logits, np.asarray(targets[start : start + size], np.intp))
        yield Piece(start, start + len(piece), tape.layers, logits, losses)


def _losses(model: CharLM, logits: Array, targets: Array) -> Array:
    """Also turns the logits into probabilities."""
    is_last = len(targets) < len(logits)
    likeliest = logits[len(targets) :].argmax(axis=1)
    losses = finite_losses(model, logits, np.append(targets, likeliest))
    if is_last:
        losses[-1] = np.nan
    return losses


def activations(tape: Tape, quantity: str) -> Array:
    """One of `QUANTITIES` for every step and unit of a layer: ``(steps, H)``."""
    if quantity == "c":
        return np.tanh(tape.c[1:, 0])
    if quantity == "h":
        return tape.h[1:, 0]
    return tape.gates[GATES.index(quantity), :, 0]
