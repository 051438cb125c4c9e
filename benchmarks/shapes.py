"""The six shapes that both sides train, and what a step of each costs at least."""

from typing import NamedTuple


class Shape(NamedTuple):
    """B batches, T steps, H units, L layers; V characters, one-hot."""

    B: int
    T: int
    H: int
    L: int
    V: int = 65

    @property
    def name(self) -> str:
        return f"B {self.B} T {self.T} H {self.H} L {self.L}"

    @property
    def flops(self) -> float:
        """Of the matrix products of one training step, forward and backward (two for each
        multiply-add). The first layer's input is a gather, which counts nothing.
        """
        recurrent = self.L * 4 * self.H * self.H
        from_below = (self.L - 1) * 4 * self.H * self.H
        return 3 * 2 * self.B * self.T * (recurrent + from_below + self.H * self.V)


SHAPES = (
    Shape(50, 50, 128, 2),
    Shape(32, 64, 256, 1),
    Shape(100, 50, 512, 2),
    Shape(64, 100, 512, 3),
    Shape(128, 128, 1024, 1),
    Shape(1, 25, 100, 1),
)
