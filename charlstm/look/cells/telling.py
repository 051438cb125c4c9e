"""Telling cells: units whose tanh(c) goes along with something that can be read off the text.

The measure is Pearson's correlation r between the unit's tanh(c) and the feature, over all
characters of the text. For a feature of zeros and ones it is called point-biserial: 1 if the unit
takes one value inside and another outside, whatever they are; 0 if it does not care.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.look.cells.features import FEATURES
from charlstm.nn.parameter import Array

MEASURE = "Pearson's correlation of tanh(c) with the feature, over all characters of the text"
SHOWN = 10
CONSTANT = 1e-6  # float32 noise of a unit that never moves would correlate with anything


@dataclass(frozen=True)
class TellingCell:
    """A row of the table. ``layer`` and ``unit`` count from 0."""

    feature: str
    layer: int
    unit: int
    correlation: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Correlations:
    """Pearson's r of every unit with every feature, in one pass over the text.

    ``features``: ``(characters, features)``. A feature or unit that never changes gets 0.
    """

    def __init__(self, features: NDArray[np.float64], units: int) -> None:
        deviation = features.std(axis=0)
        changing = deviation > 0
        self._standard = (features - features.mean(axis=0)) / np.where(changing, deviation, 1.0)
        self._products = np.zeros((features.shape[1], units))
        self._sum = np.zeros(units)
        self._sum_of_squares = np.zeros(units)

    def add(self, start: int, values: Array) -> None:
        """``values``: ``(steps, units)``, of the characters from ``start`` on."""
        values = values.astype(np.float64)
        self._products += self._standard[start : start + len(values)].T @ values
        self._sum += values.sum(axis=0)
        self._sum_of_squares += np.einsum("tu,tu->u", values, values)

    def result(self) -> NDArray[np.float64]:
        """``(features, units)``."""
        characters = len(self._standard)
        mean = self._sum / characters
        variance = np.maximum(self._sum_of_squares / characters - mean * mean, 0.0)
        deviation = np.sqrt(variance)
        moving = deviation > CONSTANT
        return np.where(moving, self._products / characters / np.where(moving, deviation, 1.0), 0.0)


def rank(correlations: NDArray[np.float64], H: int, shown: int = SHOWN) -> list[TellingCell]:
    """The ``shown`` strongest units of each feature, by the size of r.

    ``correlations``: ``(features, layers * H)``. A feature that the text lacks has no rows.
    """
    cells = []
    for feature, row in zip(FEATURES, correlations, strict=True):
        for place in np.argsort(-np.abs(row), kind="stable")[:shown]:
            if row[place]:
                layer, unit = divmod(int(place), H)
                cells.append(TellingCell(feature.name, layer, unit, round(float(row[place]), 4)))
    return cells
