"""How often each gate is nearly shut or wide open.

After Karpathy, Johnson & Li (2015), "Visualizing and Understanding Recurrent Networks": a gate is
left-saturated below 0.1 and right-saturated above 0.9.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charlstm.look.cells.activations import SIGMOIDS, activations
from charlstm.nn.cells import Tape

LEFT, RIGHT = 0.1, 0.9


class Saturation:
    """Counts over a text; ``fractions()`` is ``(layers, gates, 2, H)``: i, f, o; left, right."""

    def __init__(self, layers: int, H: int) -> None:
        self._counts = np.zeros((layers, len(SIGMOIDS), 2, H), np.int64)
        self._steps = 0

    def add(self, tapes: Sequence[Tape]) -> None:
        for counts, tape in zip(self._counts, tapes, strict=True):
            for gate_counts, gate in zip(counts, SIGMOIDS, strict=True):
                values = activations(tape, gate)
                gate_counts[0] += np.count_nonzero(values < LEFT, axis=0)
                gate_counts[1] += np.count_nonzero(values > RIGHT, axis=0)
        self._steps += len(tapes[0].s)

    def fractions(self) -> NDArray[np.float64]:
        return self._counts / max(self._steps, 1)
