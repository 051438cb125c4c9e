"""The cells by name. A new row is gradient-checked, split-checked and resume-checked by existing.

``lstm`` and ``simple`` differ in one function; ``layer-norm`` changes the loop and is a module of
its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlstm.nn.gates import IDENTITY, TANH
from charlstm.nn.layer_norm_lstm import LayerNormLSTM, LayerNormTape
from charlstm.nn.lstm import LSTM, State, Tape

Layer = LSTM | LayerNormLSTM
LayerTape = Tape | LayerNormTape

__all__ = ["CELLS", "Layer", "LayerTape", "Start", "State"]


@dataclass(frozen=True)
class Start:
    """How a layer starts, beside its sizes; a cell takes what concerns it.

    ``input_reach`` bounds the entries of ``W_x``; None: ``1 / sqrt(H)``, as for ``W_h``.
    """

    input_reach: float | None = None
    forget_bias: float = 1.0
    norm_epsilon: float = 1e-5
    dtype: type = np.float32

    @property
    def of_every_cell(self) -> dict[str, Any]:
        return {
            "input_reach": self.input_reach,
            "forget_bias": self.forget_bias,
            "dtype": self.dtype,
        }


def _lstm(D: int, H: int, rng: np.random.Generator, start: Start) -> Layer:
    return LSTM(D, H, rng, squash=TANH, **start.of_every_cell)


def _simple(D: int, H: int, rng: np.random.Generator, start: Start) -> Layer:
    return LSTM(D, H, rng, squash=IDENTITY, **start.of_every_cell)


def _layer_norm(D: int, H: int, rng: np.random.Generator, start: Start) -> Layer:
    return LayerNormLSTM(D, H, rng, epsilon=start.norm_epsilon, **start.of_every_cell)


@dataclass(frozen=True)
class Cell:
    """A row of the table: how to build a layer of this cell, and which arrays it will hold."""

    build: Callable[[int, int, np.random.Generator, Start], Layer]
    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]


CELLS = {
    "lstm": Cell(_lstm, LSTM.shapes),
    "simple": Cell(_simple, LSTM.shapes),
    "layer-norm": Cell(_layer_norm, LayerNormLSTM.shapes),
}
