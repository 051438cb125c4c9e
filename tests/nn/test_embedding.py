import numpy as np
import pytest

from charlstm.nn.embedding import Embedding
from charlstm.nn.projection import LookedUp

T, B, V, D = 5, 3, 7, 4


def test_rows_out_and_gradients_back(rng) -> None:
    embedding = Embedding(V, D, rng, np.float64)
    ids, dout = rng.integers(V - 1, size=(T, B)), rng.standard_normal((T, B, D))
    out = np.empty((T, B, D))
    assert embedding.forward(ids, out) is out
    np.testing.assert_array_equal(out, embedding.E.value[ids])

    embedding.E.grad[...] = np.nan  # written, not added to
    embedding.backward(dout, ids)
    expected = np.zeros((V, D))
    np.add.at(expected, ids, dout)
    np.testing.assert_allclose(embedding.E.grad, expected, rtol=1e-12)
    np.testing.assert_array_equal(embedding.E.grad[V - 1], 0.0)  # never met


def test_rows_that_the_layer_looks_up(rng) -> None:
    embedding, ids = Embedding(V, D, rng, np.float64), rng.integers(V, size=(T, B))
    found = embedding.forward(ids, None)
    assert isinstance(found, LookedUp)
    assert found.table is embedding.E.value
    assert found.ids is ids
    dtable = rng.standard_normal((V, D))
    embedding.E.grad[...] = np.nan
    embedding.backward(dtable, ids)
    np.testing.assert_array_equal(embedding.E.grad, dtable)


def test_starts_with_variance_one() -> None:
    E = Embedding(300, 200, np.random.default_rng(0)).E.value
    assert E.dtype == np.float32
    assert np.square(E).mean() == pytest.approx(1.0, rel=0.02)
