"""What a trained model computes, or an error: finite weights may be so large that it overflows.

Training finds that by itself and ends; here are the ways in for those who use a model.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from charlstm.errors import FileError
from charlstm.nn.cells import State
from charlstm.nn.loss import NATS_PER_BIT, softmax_cross_entropy
from charlstm.nn.parameter import Array
from charlstm.nn.predictor import Predictor

TAME = 1e10


class OverflowedError(FileError):
    """A model's numbers are no longer finite where it is used."""


def quiet() -> np.errstate:
    """What overflows is found in the result, and told once."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def require_finite(model: Predictor, *computed: Array) -> None:
    """Raises `OverflowedError`, which names the model."""
    if not all(np.isfinite(array).all() for array in computed):
        raise OverflowedError(
            f"{model.name}: its weights are so large that what they compute is infinite; it cannot"
            " be used, and was perhaps trained with too high a learning rate"
        )


def finite_logits(
    model: Predictor, ids: Array, states: Sequence[State], tape: Any
) -> tuple[Array, list[State]]:
    """As `CharLM.forward`. Raises `OverflowedError`."""
    with quiet():
        logits, new_states = model.forward(ids, states, tape)
    require_finite(model, logits)
    return logits, new_states


def is_tame(model: Predictor) -> bool:
    """Whether its weights are so far from the limits that nothing it computes can overflow, be it
    a square of a sum of a million products; so that nobody has to look at every number.
    """
    return bool(np.abs(model.values).max() < TAME)


def watched(model: Predictor, step: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """``step``, which returns logits, with an eye on them. Raises `OverflowedError`."""

    def step_watched(ids: Array) -> Array:
        with quiet():
            logits = step(ids)
        require_finite(model, logits)
        return logits

    return step_watched


def finite_losses(model: Predictor, logits: Array, targets: Array) -> Array:
    """As `softmax_cross_entropy`; in bits, too, they can be told. Raises `OverflowedError`."""
    with quiet():
        losses = softmax_cross_entropy(logits, targets)
        require_finite(model, losses / NATS_PER_BIT)
    return losses
