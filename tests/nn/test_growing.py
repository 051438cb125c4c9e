"""A trained model that takes in more characters."""

from dataclasses import replace

import numpy as np
import pytest
from layers import CELL_NAMES, shape_of

from charlstm.nn.growing import take_over
from charlstm.nn.loss import softmax_cross_entropy
from charlstm.nn.model import CharLM, Shape

V, NEW, H, E, T, B = 5, 3, 4, 6, 9, 2
IDS = np.array([0, 2, 3, 5, 6])  # of the old characters; 1, 4 and 7 are new
COUNTS = np.array([10, 3, 0, 5, 1, 20, 7, 2])
cells_and_inputs = pytest.mark.parametrize(
    ("cell", "embedding_size"), [(cell, size) for cell in CELL_NAMES for size in (0, E)]
)


def pair(cell: str, embedding_size: int, dtype: str = "float32") -> tuple[CharLM, CharLM]:
    """A model with some values, and one of 8 characters that took over its 5."""
    shape = shape_of(V, cell, 2, H, embedding_size, dtype=dtype)
    source = CharLM(shape, seed=4)
    source.values += np.random.default_rng(5).standard_normal(source.values.shape).astype(dtype)
    grown = CharLM(replace(shape, vocabulary_size=V + NEW), seed=6)
    take_over(grown, source, IDS, COUNTS)
    return source, grown


def log_probabilities(model: CharLM, ids: np.ndarray) -> np.ndarray:
    """``(T * B, V)`` in float64."""
    logits, _ = model.forward(ids, model.zero_states(B), model.tape(*ids.shape))
    logits = logits.astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=1)[:, np.newaxis]


@cells_and_inputs
def test_what_was_learned_stays_bit_for_bit(cell: str, embedding_size: int):
    source, grown = pair(cell, embedding_size)
    old, new = source.parameters(), grown.parameters()
    assert old.keys() == new.keys()
    moved = {"linear.W_y": (slice(None), IDS), "linear.b_y": (IDS,)}
    moved |= {"embedding.E": (IDS,)} if embedding_size else {"lstm.0.W_x": (slice(None), IDS)}
    for name in old:
        found = new[name].value[moved.get(name, (...,))]
        assert found.tobytes() == old[name].value.tobytes(), name


@cells_and_inputs
def test_new_rows_are_those_of_a_new_model(cell: str, embedding_size: int):
    _, grown = pair(cell, embedding_size)
    fresh = CharLM(grown.shape, seed=6)
    name, rows = (
        ("embedding.E", [1, 4, 7]) if embedding_size else ("lstm.0.W_x", np.s_[:, [1, 4, 7]])
    )
    found = grown.parameters()[name].value[rows]
    np.testing.assert_array_equal(found, fresh.parameters()[name].value[rows])
    assert np.all(np.abs(found).sum(axis=-1) > 0)
    assert not grown.linear.W_y.value[:, [1, 4, 7]].any()


def test_biases_give_new_characters_their_frequencies_and_keep_old_odds():
    source, grown = pair("lstm", 0, "float64")
    p = np.exp(grown.linear.b_y.value)
    p /= p.sum()
    np.testing.assert_allclose(p[[1, 4, 7]], np.array([4, 2, 3]) / 56, rtol=1e-12)
    before = np.exp(source.linear.b_y.value)
    np.testing.assert_allclose(p[IDS] / p[IDS].sum(), before / before.sum(), rtol=1e-12)


@cells_and_inputs
def test_old_texts_cost_what_new_characters_take(cell: str, embedding_size: int):
    """In float32: among the old characters the same to 1e-6, and in all -log(1 - m) more."""
    source, grown = pair(cell, embedding_size)
    text = np.random.default_rng(3).integers(V, size=(T, B))
    before, after = log_probabilities(source, text), log_probabilities(grown, IDS[text])
    of_the_old = np.logaddexp.reduce(after[:, IDS], axis=1)[:, np.newaxis]
    np.testing.assert_allclose(after[:, IDS] - of_the_old, before, rtol=0, atol=1e-6)
    m = np.exp(after[:, [1, 4, 7]]).sum(axis=1)
    assert m.min() > 1e-4
    np.testing.assert_allclose(of_the_old[:, 0], np.log1p(-m), rtol=0, atol=1e-12)


@cells_and_inputs
def test_old_texts_cost_the_same_where_new_characters_take_nothing(cell: str, embedding_size: int):
    source, grown = pair(cell, embedding_size)
    grown.linear.b_y.value[[1, 4, 7]] = -1e4
    text = np.random.default_rng(3).integers(V, size=(T + 1, B))
    losses = []
    for model, ids in ((source, text), (grown, IDS[text])):
        logits, _ = model.forward(ids[:-1], model.zero_states(B), model.tape(T, B))
        losses.append(softmax_cross_entropy(logits, ids[1:].reshape(-1)))
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-6)


def test_without_new_characters_it_is_the_same_model():
    source, _ = pair("layer-norm", E)
    copy = CharLM(source.shape, seed=8)
    take_over(copy, source, np.arange(V), COUNTS[:V])
    assert copy.values.tobytes() == source.values.tobytes()


def test_extreme_biases_stay_finite():
    source, _ = pair("lstm", 0)
    source.linear.b_y.value[...] = 1e4
    grown = CharLM(Shape(V + NEW, "lstm", 2, H), seed=6)
    take_over(grown, source, IDS, COUNTS)
    assert np.isfinite(grown.values).all()
