"""A model's matrices in two bytes a number, or in one, row by row.

A row is what one number of a result is the dot product with: the weights of one unit's gate, of one
character's score, or one character's embedding. Vectors (``b``, ``gain``, ...) stay as they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from charlstm.errors import ConfigError
from charlstm.nn.finite import quiet
from charlstm.nn.model import CharLM
from charlstm.nn.parameter import Array
from charlstm.pages.packing import levels
from charlstm.saved.checkpoint import LoadedModel

SUMMED = {"E": 1, "W_x": 1, "W_h": 1, "W_y": 0}
"""The axis of each matrix that lies along its rows."""
HALF = 127


class Coded(NamedTuple):
    """``(rows, columns)`` as float16; or as levels, of which a row's ``scale`` makes numbers."""

    codes: Array
    scale: Array | None = None

    def values(self) -> Array:
        if self.scale is None:
            return self.codes.astype(np.float32)
        return (self.codes - np.float32(HALF)) * self.scale[:, np.newaxis]


def _float16(rows: Array) -> Coded:
    return Coded(rows.astype(np.float16))


def _int8(rows: Array) -> Coded:
    return Coded(*levels(rows.astype(np.float32), bits=8))


CODINGS: dict[str, Callable[[Array], Coded]] = {"float16": _float16, "int8": _int8}


def coded_matrices(model: CharLM, weights: str) -> Iterator[tuple[str, Coded]]:
    """Every matrix by the name of its parameter. Raises `ConfigError` for one that does not fit."""
    for name, parameter in model.parameters().items():
        if _kind(name) in SUMMED:
            with quiet():
                coded = CODINGS[weights](_rows(name, parameter.value))
                finite = np.isfinite(coded.values()).all()
            if not finite:
                others = " or ".join(other for other in CODINGS if other != weights)
                raise ConfigError(
                    f"{model.name}: {name} has numbers too large for {weights}; try {others}, or"
                    " another format"
                )
            yield name, coded


def vectors(model: CharLM) -> dict[str, Array]:
    """All other parameters."""
    named = model.parameters().items()
    return {name: parameter.value for name, parameter in named if _kind(name) not in SUMMED}


def rounded(loaded: LoadedModel, weights: str) -> LoadedModel:
    """The same with the numbers that a page has, to see what rounding costs."""
    model = CharLM(loaded.model.shape)
    model.name = loaded.model.name
    model.values[...] = loaded.model.values
    parameters = model.parameters()
    for name, coded in coded_matrices(loaded.model, weights):
        by_row = _with_rows_last(name, parameters[name].value)
        by_row[...] = coded.values().reshape(by_row.shape)
    return replace(loaded, model=model)


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _rows(name: str, matrix: Array) -> Array:
    return _with_rows_last(name, matrix).reshape(-1, matrix.shape[SUMMED[_kind(name)]])


def _with_rows_last(name: str, matrix: Array) -> Array:
    """A view."""
    return np.moveaxis(matrix, SUMMED[_kind(name)], -1)
