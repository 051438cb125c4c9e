"""What a unit does, against an LSTM written with eight matrices."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from naive_lstm import forward

from charlstm.look.cells.activations import QUANTITIES, ItemStarts, activations, read
from charlstm.look.cells.saturation import Saturation
from charlstm.nn.gate_names import by_gate
from charlstm.nn.model import CharLM, Shape

V, H, T = 7, 5, 23


def a_model(cell: str = "lstm", **others: int) -> CharLM:
    model = CharLM(Shape(V, cell, layers=2, hidden_size=H, dtype="float64", **others), seed=4)
    model.values += 0.5 * np.random.default_rng(8).standard_normal(model.values.shape)
    return model


def recorded(model: CharLM, ids: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """``(layers, T, H)`` of each quantity, ``(T, V)`` probabilities, ``(T,)`` losses."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in [*QUANTITIES, "p", "loss"]}
    for piece in read(model, ids, size):
        for name in QUANTITIES:
            parts[name].append(np.array([activations(tape, name) for tape in piece.tapes]))
        parts["p"].append(piece.probabilities.copy())
        parts["loss"].append(piece.losses.copy())
    return {n: np.concatenate(p, axis=1 if n in QUANTITIES else 0) for n, p in parts.items()}


@pytest.fixture
def ids(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, V, T)


def test_equals_the_naive_lstm(ids: np.ndarray) -> None:
    model = a_model()
    found = recorded(model, ids, size=8)
    x = np.eye(V)[ids][:, np.newaxis]
    for number, layer in enumerate(model.layers):
        weights = by_gate({name: p.value for name, p in layer.parameters().items()})
        steps = forward(weights, x, np.zeros((1, H)), np.zeros((1, H)))
        for name in ("h", "i", "f", "o", "g"):
            expected = np.array([step[name][0] for step in steps])
            np.testing.assert_allclose(found[name][number], expected, rtol=1e-10)
        cells = np.tanh([step["c"][0] for step in steps])
        np.testing.assert_allclose(found["c"][number], cells, rtol=1e-10)
        x = np.array([step["h"] for step in steps])


@pytest.mark.parametrize("cell", ["lstm", "simple", "layer-norm"])
def test_pieces_change_nothing(cell: str, ids: np.ndarray) -> None:
    model = a_model(cell)
    whole, pieces = recorded(model, ids, size=64), recorded(model, ids, size=5)
    for name in whole:
        np.testing.assert_allclose(pieces[name], whole[name], rtol=1e-9)


@pytest.mark.parametrize("size", [64, 5])
@pytest.mark.parametrize("cell", ["lstm", "simple", "layer-norm"])
def test_items_are_read_each_on_its_own(cell: str, size: int, ids: np.ndarray) -> None:
    model, begins, end = a_model(cell), np.zeros(T, bool), 3
    begins[[0, 4, 5, 16]] = True
    pieces = list(pieces_of(model, ids, size, ItemStarts(begins, end)))
    found = {
        name: np.concatenate([piece[name] for piece in pieces])
        for name in ("p", "loss", "h", "c", "f")
    }
    for start, stop in pairwise([0, 4, 5, 16, T]):
        (alone,) = pieces_of(model, ids[start:stop], 64, None)
        for name in ("p", "h", "c", "f"):
            np.testing.assert_allclose(found[name][start:stop], alone[name], rtol=1e-9)
        np.testing.assert_allclose(found["loss"][start : stop - 1], alone["loss"][:-1], rtol=1e-9)
        if stop < T:
            expected = -np.log(alone["p"][-1, end])
            assert found["loss"][stop - 1] == pytest.approx(expected, rel=1e-9)


def pieces_of(
    model: CharLM, ids: np.ndarray, size: int, items: ItemStarts | None
) -> Iterator[dict[str, np.ndarray]]:
    """What `read` gives, kept; ``h``, ``c`` and ``f`` are those of the upper layer."""
    for piece in read(model, ids, size, items):
        found = {"p": piece.probabilities, "loss": piece.losses}
        found |= {name: activations(piece.tapes[-1], name) for name in ("h", "c", "f")}
        yield {name: array.copy() for name, array in found.items()}


def test_losses_are_those_of_the_next_character(ids: np.ndarray) -> None:
    found = recorded(a_model(), ids, size=6)
    expected = -np.log(found["p"][np.arange(T - 1), ids[1:]])
    np.testing.assert_allclose(found["loss"][:-1], expected, rtol=1e-10)
    assert np.isnan(found["loss"][-1])
    np.testing.assert_allclose(found["p"].sum(axis=1), 1.0)


def test_saturation_counts_steps(ids: np.ndarray) -> None:
    model = a_model()
    model.values *= 3.0
    saturation = Saturation(2, H)
    for piece in read(model, ids, size=9):
        saturation.add(piece.tapes)
    found = recorded(model, ids, size=64)
    fractions = saturation.fractions()
    for k, gate in enumerate("ifo"):
        np.testing.assert_allclose(fractions[:, k, 0], (found[gate] < 0.1).mean(axis=1))
        np.testing.assert_allclose(fractions[:, k, 1], (found[gate] > 0.9).mean(axis=1))
    assert 0 < fractions[:, :, 0].mean() < 1
