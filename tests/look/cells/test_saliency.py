"""Gradient reach against finite differences of the input vectors."""

from itertools import product

import numpy as np
import pytest
from layers import SKIPPING, shape_of

from charlstm.look.cells.activations import ItemStarts, read
from charlstm.look.cells.saliency import Saliency, affordable_interval
from charlstm.nn.model import CharLM, Shape

V, H, T, REACH = 6, 4, 19, 7
STEP = 1e-5


def a_model(cell: str, embedding_size: int) -> CharLM:
    shape = shape_of(V, cell, 2, H, embedding_size, dtype="float64")
    model = CharLM(shape, seed=2)
    model.values += 0.4 * np.random.default_rng(5).standard_normal(model.values.shape)
    return model


def input_vectors(model: CharLM, ids: np.ndarray) -> np.ndarray:
    """``(T, D)``: embedded, or one-hot and written out."""
    return np.eye(V)[ids] if model.embedding is None else model.embedding.E.value[ids]


def loss_at(model: CharLM, x: np.ndarray, j: int, target: int) -> float:
    """-log p of character j after the inputs before it; floats enter the first layer."""
    x = e = x[:j].reshape(j, 1, -1)
    outputs = []
    for layer in model.layers:
        h, _ = layer.forward(x, layer.zero_state(1), layer.tape(j, 1))
        outputs.append(h)
        x = model.input_above(h, e)
    logits = model.top(outputs)[-1, 0] @ model.linear.W_y.value + model.linear.b_y.value
    return float(np.log(np.exp(logits).sum()) - logits[target])


def by_finite_differences(model: CharLM, ids: np.ndarray, j: int) -> np.ndarray:
    """Lengths of the gradients for the inputs 1, 2, ... places before character j."""
    x = input_vectors(model, ids)
    lengths = []
    for place in range(j - 1, max(-1, j - 1 - REACH), -1):
        gradient = []
        for d in range(x.shape[1]):
            losses = []
            for sign in (1, -1):
                moved = x.copy()
                moved[place, d] += sign * STEP
                losses.append(loss_at(model, moved, j, ids[j]))
            gradient.append((losses[0] - losses[1]) / (2 * STEP))
        lengths.append(np.linalg.norm(gradient))
    return np.array(lengths)


def saliency_of(model: CharLM, ids: np.ndarray, size: int, interval: int = 1) -> Saliency:
    saliency = Saliency(model, ids, REACH, interval)
    for piece in read(model, ids, size):
        saliency.add(piece)
    return saliency


@pytest.mark.parametrize(
    ("cell", "embedding_size"),
    [
        *product(["lstm", "simple", "layer-norm", "layer-norm capped"], [0, 3]),
        *product(SKIPPING, [3]),
    ],
)
def test_finite_differences(cell: str, embedding_size: int, rng: np.random.Generator) -> None:
    ids = rng.integers(0, V, T)
    model = a_model(cell, embedding_size)
    saliency = saliency_of(model, ids, size=5)
    for j in (1, 2, 6, 13, T - 1):
        found = saliency.norms[list(saliency.positions).index(j)]
        expected = by_finite_differences(model, ids, j)
        np.testing.assert_allclose(found[: len(expected)], expected, rtol=2e-6, atol=1e-9)
        assert not found[len(expected) :].any(), "what lies before the text"


@pytest.mark.parametrize("cell", ["lstm", "layer-norm"])
def test_pieces_and_intervals_change_nothing(cell: str, rng: np.random.Generator) -> None:
    ids = rng.integers(0, V, T)
    model = a_model(cell, 0)
    whole = saliency_of(model, ids, size=64)
    assert whole.positions.tolist() == list(range(1, T))
    some = saliency_of(model, ids, size=4, interval=3)
    assert some.positions.tolist() == [3, 6, 9, 12, 15, 18]
    np.testing.assert_allclose(some.norms, whole.norms[2::3], rtol=1e-6)


@pytest.mark.parametrize("size", [64, 5])
@pytest.mark.parametrize("cell", ["lstm", "simple capped", "layer-norm", "lstm skips"])
def test_no_gradient_passes_where_an_item_begins(cell: str, size: int, rng) -> None:
    ids, end = rng.integers(0, V, T), 2
    begins = np.zeros(T, bool)
    begins[[0, 6, 7, 11]] = True
    model, items = a_model(cell, 3), ItemStarts(begins, end)
    saliency = Saliency(model, ids, REACH, items=items)
    for piece in read(model, ids, size, items):
        saliency.add(piece)
    for j in (3, 6, 7, 11, T - 1):
        start = int(np.flatnonzero(begins[:j])[-1])
        alone = np.append(ids[start:j], end if begins[j] else ids[j])
        expected = by_finite_differences(model, alone, j - start)
        found = saliency.norms[j - 1]
        np.testing.assert_allclose(found[: len(expected)], expected, rtol=2e-6, atol=1e-9)
        assert not found[len(expected) :].any(), "what lies before the item"


def test_many_lanes_at_once(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = rng.integers(0, V, T)
    model = a_model("lstm", 0)
    whole = saliency_of(model, ids, size=64)
    monkeypatch.setattr("charlstm.look.cells.saliency.LANES", 5)
    np.testing.assert_allclose(saliency_of(model, ids, size=64).norms, whole.norms, rtol=1e-6)


def test_a_large_model_is_asked_less_often() -> None:
    small, large = (CharLM(Shape(75, "lstm", 2, H)) for H in (16, 256))
    assert affordable_interval(small, 20_000, 64) == 1
    assert affordable_interval(large, 20_000, 64) > 1
    assert affordable_interval(large, 1_000, 64) == 1
