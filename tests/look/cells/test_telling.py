import numpy as np
import pytest

from charlstm.look.cells.features import FEATURES
from charlstm.look.cells.findings import Table
from charlstm.look.cells.telling import Correlations, TellingCell, rank


def in_pieces(features: np.ndarray, units: np.ndarray, size: int) -> np.ndarray:
    correlations = Correlations(features, units.shape[1])
    for start in range(0, len(units), size):
        correlations.add(start, units[start : start + size])
    return correlations.result()


def test_equals_numpys_corrcoef(rng: np.random.Generator) -> None:
    features = np.column_stack([rng.random(53) < 0.3, np.arange(53.0), rng.standard_normal(53)])
    units = np.tanh(rng.standard_normal((53, 4)) + features[:, :1]).astype(np.float32)
    expected = np.corrcoef(features.T, units.T)[:3, 3:]
    np.testing.assert_allclose(in_pieces(features, units, 10), expected, rtol=1e-6)


def test_what_never_changes_correlates_with_nothing(rng: np.random.Generator) -> None:
    features = np.column_stack([np.ones(20), rng.random(20)])
    units = np.column_stack([rng.random(20), np.full(20, 0.3) + 1e-9 * rng.random(20)])
    result = in_pieces(features, units.astype(np.float64), 7)
    assert result[0].tolist() == [0, 0]
    assert result[1, 1] == 0
    assert result[1, 0] == pytest.approx(np.corrcoef(features[:, 1], units[:, 0])[0, 1])


def test_the_strongest_come_first_whatever_their_sign() -> None:
    correlations = np.zeros((len(FEATURES), 6))
    correlations[0] = [0.1, -0.9, 0.3, 0.0, 0.95, -0.2]
    cells = rank(correlations, H=3, shown=3)
    found = [(cell.feature, cell.layer, cell.unit, cell.correlation) for cell in cells]
    assert found == [
        ("inside quotation marks", 1, 1, 0.95),
        ("inside quotation marks", 0, 1, -0.9),
        ("inside quotation marks", 0, 2, 0.3),
    ]


def test_zeros_have_no_place_in_the_table() -> None:
    correlations = np.zeros((len(FEATURES), 4))
    correlations[2, 3] = -0.5
    (cell,) = rank(correlations, H=2)
    assert cell.as_dict() == {
        "feature": "depth of brackets",
        "layer": 1,
        "unit": 1,
        "correlation": -0.5,
    }


def test_the_best_is_that_of_any_feature():
    rows = [("a", 0, 1, -0.03), ("a", 1, 0, 0.02), ("b", 1, 2, -0.69), ("b", 0, 1, 0.5)]
    table = Table([TellingCell(*row) for row in rows], 1.0)
    assert table.best() == TellingCell("b", 1, 2, -0.69)
    assert table.best(layer=0) == TellingCell("b", 0, 1, 0.5)
    assert table.best(unit=0) == TellingCell("a", 1, 0, 0.02)
    assert table.best(layer=3) is None
