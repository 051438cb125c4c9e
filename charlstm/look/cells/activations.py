"""A model reading a text from its first character on, piece by piece."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

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


def read(model: CharLM, ids: Ids, size: int = PIECE) -> Iterator[Piece]:
    """The state starts at zero and is carried through; ``ids``: ``(characters,)``.

    Raises `OverflowedError` for what is not finite.
    """
    states = model.zero_states(1)
    tape = model.tape(size, 1)
    for start in range(0, len(ids), size):
        piece = np.asarray(ids[start : start + size], np.intp)
        if len(piece) < size:
            tape = model.tape(len(piece), 1)
        logits, states = finite_logits(model, piece[:, np.newaxis], states, tape)
        losses = _losses(model, logits, np.asarray(ids[start + 1 : start + size + 1], np.intp))
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
