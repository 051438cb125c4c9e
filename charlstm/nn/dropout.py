"""Inverted dropout (Srivastava et al. 2014): what is kept is scaled up in training, so that
nothing changes in use.
"""

from dataclasses import dataclass

import numpy as np

from charlstm.nn.parameter import Array


@dataclass(frozen=True)
class Dropout:
    """How much is dropped: of every layer's output, and of g inside it; ``seed`` says which."""

    outputs: float
    gates: float
    seed: int


def dropout_mask(
    shape: tuple[int, ...], rate: float, dtype: np.dtype, *, seed: int, step: int, place: int
) -> Array:
    """Zeros with probability ``rate``, else ``1 / (1 - rate)``; ``rate`` is rounded to 1/65536.

    Drawn from a counter-based generator (Philox, Salmon et al. 2011) keyed by the run's seed and
    the place in the model, at a counter given by the step. A mask is then a function of where it
    is used: a resumed run draws the same ones without restoring anything, and so does every worker.
    """
    bits = np.random.Philox(key=[seed % 2**64, place], counter=[0, 0, 0, step])
    size = int(np.prod(shape))
    draws = bits.random_raw((size + 3) // 4).view(np.uint16)[:size].reshape(shape)
    mask = (draws >= round(rate * 65536)).astype(dtype)
    mask *= 1.0 / (1.0 - rate)
    return mask
