import numpy as np
import pytest

from charlstm.nn.projection import (
    LookedUp,
    empty_gradient,
    is_one_hot,
    project,
    project_backward,
    sum_rows_by_id,
)

T, B, D, H = 5, 3, 6, 4


@pytest.fixture
def W_and_b(rng) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((4, D, H)), rng.standard_normal((4, H))


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("dtype", [np.intp, np.uint8, np.uint16])
def test_dense_and_one_hot_agree_with_einsum(W_and_b, rng, with_bias: bool, dtype: type) -> None:
    W, b = W_and_b
    ids = rng.integers(D, size=(T, B)).astype(dtype)
    x = np.eye(D)[ids]
    expected = np.einsum("tbd,kdh->ktbh", x, W) + (b[:, None, None] if with_bias else 0.0)
    for given in (ids, x):
        out = np.full((4, T, B, H), np.nan)
        project(given, W, b if with_bias else None, out)
        np.testing.assert_allclose(out, expected, rtol=1e-12)


@pytest.mark.parametrize("one_hot", [True, False])
def test_backward_agrees_with_einsum(W_and_b, rng, one_hot: bool) -> None:
    W, b = W_and_b
    ids = rng.integers(D - 1, size=(T, B))  # the last one is never met
    x = np.eye(D)[ids] if one_hot else rng.standard_normal((T, B, D))
    da = rng.standard_normal((4, T, B, H))
    dW, db, dx = np.full_like(W, np.nan), np.full_like(b, np.nan), np.full((T, B, D), np.nan)
    project_backward(da, ids if one_hot else x, W, dW=dW, db=db, dx=None if one_hot else dx)
    np.testing.assert_allclose(dW, np.einsum("tbd,ktbh->kdh", x, da), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(db, da.sum(axis=(1, 2)), rtol=1e-11)
    if not one_hot:
        np.testing.assert_allclose(dx, np.einsum("ktbh,kdh->tbd", da, W), rtol=1e-11)


@pytest.mark.parametrize("with_bias", [True, False])
def test_what_is_looked_up_is_as_good_as_what_was_fetched(W_and_b, rng, with_bias: bool) -> None:
    W, b = W_and_b
    V, b = 8, b if with_bias else None
    table, ids = rng.standard_normal((V, D)), rng.integers(V - 1, size=(T, B))
    out, expected = np.full((4, T, B, H), np.nan), np.empty((4, T, B, H))
    project(LookedUp(table, ids), W, b, out)
    project(table[ids], W, b, expected)
    np.testing.assert_allclose(out, expected, rtol=1e-12)

    da, gradients = rng.standard_normal((4, T, B, H)), []
    for x in (LookedUp(table, ids), table[ids]):
        dW, dx = np.full_like(W, np.nan), empty_gradient(x)
        db = None if b is None else np.full_like(b, np.nan)
        project_backward(da, x, W, dW=dW, db=db, dx=dx)
        gradients.append((dW, db, dx))
    (dW, db, dtable), (expected_dW, expected_db, dx) = gradients
    np.testing.assert_allclose(dW, expected_dW, rtol=1e-11, atol=1e-13)
    if with_bias:
        np.testing.assert_allclose(db, expected_db, rtol=1e-11)
    summed = np.zeros((V, D))
    np.add.at(summed, ids, dx)
    np.testing.assert_allclose(dtable, summed, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(dtable[V - 1], 0.0)  # never met


def test_a_dx_that_would_not_be_written_is_refused(W_and_b, rng) -> None:
    W, _ = W_and_b
    x, da = rng.standard_normal((T, B, D)), rng.standard_normal((4, T, B, H))
    dx = np.empty((B, T, D)).swapaxes(0, 1)
    with pytest.raises(AssertionError):
        project_backward(da, x, W, dW=np.empty_like(W), db=None, dx=dx)


def test_sum_rows_by_id(rng) -> None:
    rows, ids = rng.standard_normal((2, 30, H)), rng.integers(5, size=30)
    out = np.full((2, 9, H), np.nan)
    sum_rows_by_id(rows, ids, out)
    for v in range(9):
        np.testing.assert_allclose(out[:, v], rows[:, ids == v].sum(axis=1), rtol=1e-12)


def test_integers_are_ids() -> None:
    assert is_one_hot(np.zeros((2, 3), np.uint8))
    assert is_one_hot(np.zeros((2, 3), np.int64))
    assert not is_one_hot(np.zeros((2, 3, 4), np.float32))
