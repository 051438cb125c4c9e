"""More characters for a trained model: the old ones keep what they know, the new ones start."""

import numpy as np

from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array

AXIS_OF_CHARACTERS = {"embedding.E": 0, "linear.W_y": 1, "linear.b_y": 0}
ONE_HOT_INPUT = {"lstm.0.W_x": 1}


def take_over(model: CharLM, source: CharLM, ids: Array, counts: Array) -> None:
    """Give a new ``model`` the parameters of ``source``, and let its other characters begin.

    ``ids``: ``(V of the source,)``, the id in ``model`` of each character of ``source``, whose rows
    move there bit for bit. ``counts``: ``(V of the model,)``, how often each occurs in the text.
    A new character is heard as in a new model: its input row stays as the seed drew it. It is
    predicted as often as it occurs, whatever came before: its column of ``W_y`` is 0, and

        b_y[new] = log p[new] - log(1 - sum p[new]) + log(sum exp(b_y[old]))

    where p are the frequencies, one added to each count. Old biases stay, and so the odds among
    old characters; with ``m`` the share of the probability that new ones take at some place, an
    old character costs ``-log(1 - m)`` nats more there than it cost ``source``.
    """
    trained = source.parameters()
    axes = AXIS_OF_CHARACTERS | ({} if model.embedding else ONE_HOT_INPUT)
    for name, parameter in model.parameters().items():
        if name in axes:
            rows = np.moveaxis(parameter.value, axes[name], 0)
            rows[ids] = np.moveaxis(trained[name].value, axes[name], 0)
        else:
            parameter.value[...] = trained[name].value
    new = np.setdiff1d(np.arange(len(counts)), ids)
    p = (counts[new] + 1.0) / (counts.sum() + len(counts))
    of_the_old = np.logaddexp.reduce(source.linear.b_y.value.astype(np.float64))
    model.linear.W_y.value[:, new] = 0.0
    model.linear.b_y.value[new] = np.log(p) - np.log1p(-p.sum()) + of_the_old
