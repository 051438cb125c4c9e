"""Embedding: one learned vector for each character."""

import numpy as np

from charlstm.nn.parameter import Array, Parameter, uniform
from charlstm.nn.projection import Input, LookedUp, sum_rows_by_id


class Embedding:
    """Row ``id`` of ``E``: ``(V, D)``."""

    def __init__(
        self, size: int, width: int, rng: np.random.Generator, dtype: type = np.float32
    ) -> None:
        variance_1 = np.sqrt(3.0)
        self.E = Parameter(uniform(rng, (size, width), variance_1, dtype))

    def parameters(self) -> dict[str, Parameter]:
        return {"E": self.E}

    def forward(self, ids: Array, out: Array | None) -> Input:
        """ids: ``(T, B)``; out: ``(T, B, D)``, or None to leave it to the layer to look them up."""
        if out is None:
            return LookedUp(self.E.value, ids)
        return np.take(self.E.value, ids, axis=0, out=out, mode="clip")

    def backward(self, dx: Array, ids: Array) -> None:
        """Writes ``E.grad`` from ``dx``: ``(T, B, D)``, or ``(V, D)`` of what was looked up."""
        if dx.ndim == self.E.grad.ndim:
            np.copyto(self.E.grad, dx)
            return
        rows = dx.reshape(1, ids.size, -1)
        sum_rows_by_id(rows, ids.reshape(-1), out=self.E.grad[np.newaxis])
