"""Linear layer: from hidden units to one score (logit) for each character."""

import numpy as np

from charlstm.nn.parameter import Array, Parameter, uniform


class Linear:
    """``y = x W_y + b_y``; ``W_y``: ``(H, V)``, ``b_y``: ``(V,)``."""

    def __init__(
        self, input_size: int, output_size: int, rng: np.random.Generator, dtype: type = np.float32
    ) -> None:
        reach = 1.0 / np.sqrt(input_size)
        self.W_y = Parameter(uniform(rng, (input_size, output_size), reach, dtype))
        self.b_y = Parameter(np.zeros(output_size, dtype))

    def parameters(self) -> dict[str, Parameter]:
        return {"W_y": self.W_y, "b_y": self.b_y}

    def forward(self, x: Array, out: Array) -> Array:
        """``(N, H)`` to ``(N, V)``, written to ``out``."""
        np.matmul(x, self.W_y.value, out=out)
        out += self.b_y.value
        return out

    def backward(self, dy: Array, x: Array, dx: Array) -> Array:
        """``dy``: ``(N, V)``; writes the parameters' ``grad`` and ``dx``: ``(N, H)``."""
        np.matmul(x.T, dy, out=self.W_y.grad)
        np.matmul(np.ones(len(dy), dy.dtype), dy, out=self.b_y.grad)
        return np.matmul(dy, self.W_y.value.T, out=dx)
