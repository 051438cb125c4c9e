"""The cells by name. A new row is gradient-checked, split-checked and resume-checked by existing.

``lstm`` and ``simple`` differ in one function; ``layer-norm`` changes the loop and is a module of
its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from charlstm.nn.gates import IDENTITY, TANH
from charlstm.nn.layer_norm_lstm import LayerNormLSTM
from charlstm.nn.lstm import LSTM, Layer, State, Tape
from charlstm.nn.start import Start

__all__ = ["CELLS", "Cell", "Layer", "Start", "State", "Tape"]


@dataclass(frozen=True)
class Cell:
    """A row of the table: how to build a layer of this cell, which arrays it will hold, and
    whether recurrent dropout is defined for it.
    """

    build: Callable[[int, int, np.random.Generator, Start], Layer]
    shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
    has_recurrent_dropout: bool = False


CELLS = {
    "lstm": Cell(partial(LSTM, squash=TANH), LSTM.shapes),
    "simple": Cell(partial(LSTM, squash=IDENTITY), LSTM.shapes),
    "layer-norm": Cell(LayerNormLSTM, LayerNormLSTM.shapes, has_recurrent_dropout=True),
}
