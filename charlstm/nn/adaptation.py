"""Dynamic evaluation: a model that goes on learning from what it has just read.

Krause, Kahembwe, Murray & Renals 2018, "Dynamic evaluation of neural sequence models", with their
RMS rule. The text is read in segments, the state carried from one to the next. Each is predicted
with the weights ``x`` as they are, and only then learned from, by one step along the gradient ``g``
of its mean loss and a small one back to the weights ``x_0`` of training:

    x += pull (x_0 - x) - rate / sqrt(P) g / (r + EPSILON mean(r))

``r`` is the root mean square of such gradients. The paper measures it on the training text. Here
the model writes a text of its own for it, which is at hand wherever the model is: on that, the
gradients of the segments are zero in the mean and uncorrelated (they are those of Fisher's
information), so that the square of the mean gradient of B segments is, in the mean, a B-th of r^2.

``P`` is the number of parameters. An update by a gradient of the usual size is ``rate`` long, and
so one rate fits models of all sizes (the paper's is ours by the root of P).
"""

from collections.abc import Iterator, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import DivergedError
from charlstm.nn.finite import OverflowedError, finite_logits, finite_losses, quiet, require_finite
from charlstm.nn.loss import softmax_cross_entropy_backward
from charlstm.nn.mixture import log_mean_exp
from charlstm.nn.model import CharLM, ModelTape
from charlstm.nn.optim import blocks
from charlstm.nn.pace import Pace
from charlstm.nn.parameter import Array
from charlstm.nn.sampling import AnyIds, Choice, generate

EPSILON = 0.1
SMALLEST = 1e-30
"""Where nothing can be learned, as with a vocabulary of one character, nothing is divided by 0."""
LONGEST = 3.0
"""Times the usual length: of gradients beyond, as a foreign text has them, no more is used."""
ABSURD = 1000.0
"""Nats a character, in the mean of a segment, that only weights gone astray make."""
OWN_TEXTS, OWN_SEGMENTS = 32, 32
"""How much a model writes to measure ``r``: so many texts, of so many segments each."""


class Adapted:
    """A copy of a model, ``model``, that learns from what it reads.

    ``start``: ids for a text to begin with, as for `generate`.
    """

    def __init__(self, trained: CharLM, start: AnyIds, pace: Pace) -> None:
        self.model = trained.copy()
        self.pace, self._trained = pace, trained.values
        r = gradient_scale(trained, start, pace.segment)
        with quiet():  # a rate beyond all bounds is told of when it has been applied
            rate = pace.rate / sqrt(r.size)
            self._rates = rate / np.maximum(r + EPSILON * r.mean(), SMALLEST)
        self._longest = LONGEST * float(np.linalg.norm(r))
        self._states = trained.zero_states(1)
        self._tapes: dict[int, ModelTape] = {}

    def losses(self, ids: AnyIds) -> Iterator[NDArray[np.float64]]:
        """Nats of every character but the first, each from the weights as they were before its
        segment was learned from; in pieces. Raises `DivergedError`, and `OverflowedError` where the
        trained weights are too large themselves.
        """
        for start in range(0, len(ids) - 1, self.pace.segment):
            piece = np.asarray(ids[start : start + self.pace.segment + 1], np.intp)[:, np.newaxis]
            try:
                losses = self._read(piece[:-1], piece[1:, 0])
            except OverflowedError as error:
                raise self._diverged(start) if start else error from None
            if start and losses.mean() > ABSURD:
                raise self._diverged(start)
            yield losses
            self._learn()

    def _read(self, x: Array, targets: Array) -> NDArray[np.float64]:
        """Losses of a segment, and its gradient in the model's ``grads``."""
        model, steps = self.model, len(x)
        if steps not in self._tapes:
            self._tapes[steps] = model.tape(steps, 1)
        logits, self._states = finite_logits(model, x, self._states, self._tapes[steps])
        losses = finite_losses(model, logits, targets).astype(np.float64)
        dlogits = softmax_cross_entropy_backward(logits, targets, 1.0 / steps)
        with quiet():
            model.backward(dlogits, self._tapes[steps])
        return losses

    def _learn(self) -> None:
        pull, x, g = self.pace.pull, self.model.values, self.model.grads
        with quiet():
            if (length := float(np.linalg.norm(g))) > self._longest:
                g *= self._longest / length
            for block in blocks(x.size):
                change = np.subtract(self._trained[block], x[block])
                change *= pull
                x[block] += change
                x[block] -= np.multiply(self._rates[block], g[block], out=change)

    def _diverged(self, characters: int) -> DivergedError:
        return DivergedError(
            f"{self.model.name}: adapting to the text, it lost its way after"
            f" {characters:,} characters; use a rate below {self.pace.rate:g}"
        )


def mixed_losses(adapted: Sequence[Adapted], ids: AnyIds) -> Iterator[NDArray[np.float64]]:
    """As `Adapted.losses`: of the mean of the probabilities of all, each of which learns from what
    it predicted itself.
    """
    for pieces in zip(*(one.losses(ids) for one in adapted), strict=True):
        yield -log_mean_exp(-np.stack(pieces))


def gradient_scale(model: CharLM, start: AnyIds, segment: int) -> Array:
    """``r``, of every parameter, ``(size,)``: the root mean square of the gradient of the mean loss
    of ``segment`` characters, on text of the model's own. The same every time. Raises
    `OverflowedError`.
    """
    model, length = model.copy(), OWN_SEGMENTS * segment
    made = generate(model, start, count=OWN_TEXTS, length=length + 1, choice=Choice(), seed=0)
    ids = np.stack(list(made))
    states, tape = model.zero_states(OWN_TEXTS), model.tape(segment, OWN_TEXTS)
    squares = np.zeros_like(model.values)
    for first in range(0, length, segment):
        x, y = ids[first : first + segment], ids[first + 1 : first + segment + 1]
        with quiet():
            _, states = model.loss_and_gradients(x, y, states, tape)
            squares += np.square(model.grads, out=model.grads)
    require_finite(model, squares)
    return np.sqrt(squares * (OWN_TEXTS / OWN_SEGMENTS))
