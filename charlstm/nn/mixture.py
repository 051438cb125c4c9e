"""Several models of one vocabulary as one, whose probabilities are the mean of theirs.

That is never worse than their mean loss, for the logarithm is concave, and mostly better than the
best of models that have learned the same text from other first weights.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from charlstm.nn.cells import State
from charlstm.nn.model import CharLM, ModelTape
from charlstm.nn.parameter import Array


class Mixture:
    """A `Predictor`; its states are those of all ``models``, one after the other, and its scores
    the logarithms of mean probabilities.
    """

    def __init__(self, models: Sequence[CharLM]) -> None:
        self.models = models
        self.name = ", ".join(model.name for model in models)
        self._places = list(pairwise(accumulate((len(it.layers) for it in models), initial=0)))

    @property
    def values(self) -> Array:
        """A copy of all weights, for who wants to know how large they are."""
        return np.concatenate([model.values for model in self.models])

    def zero_states(self, B: int) -> list[State]:
        return [state for model in self.models for state in model.zero_states(B)]

    def tape(self, T: int, B: int) -> list[ModelTape]:
        return [model.tape(T, B) for model in self.models]

    def split(self, states: Sequence[State]) -> list[Sequence[State]]:
        """The states, model by model."""
        return [states[start:stop] for start, stop in self._places]

    def forward(
        self, ids: Array, states: Sequence[State], tape: Sequence[ModelTape]
    ) -> tuple[Array, list[State]]:
        """As `CharLM.forward`: from ids ``(T, B)`` to scores ``(T * B, V)``; and new states."""
        scores, new_states = [], []
        for model, own, own_tape in zip(self.models, self.split(states), tape, strict=True):
            logits, after = model.forward(ids, own, own_tape)
            scores.append(logits)
            new_states += after
        return log_mean(scores), new_states


def log_mean(scores: Sequence[Array]) -> Array:
    """From logits ``(N, V)`` of each model to the logarithm of the mean of its probabilities."""
    return log_mean_exp(np.stack([log_softmax(logits) for logits in scores]))


def log_mean_exp(logs: Array) -> Array:
    """Of logarithms of probabilities, one model's after the other's along the first axis, that of
    their mean. ``logs`` is overwritten.
    """
    largest = logs.max(axis=0)
    logs -= largest
    mean = np.exp(logs, out=logs).mean(axis=0)
    return np.asarray(np.log(mean, out=mean) + largest)


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
