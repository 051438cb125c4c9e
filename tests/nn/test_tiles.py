import numpy as np
import pytest
from layers import CELL_NAMES, both_ways, random_layer, random_state

from charlstm.nn import lstm, tiles
from charlstm.nn.cuts import Cuts, Sizes
from charlstm.nn.tiles import (
    LARGEST_WITHOUT_PACKING,
    Tiling,
    multiply,
    product,
    row_product,
    tiling,
)

M, K, N = 6, 5, 12


@pytest.fixture
def unpacked(monkeypatch):
    """As on a processor whose BLAS computes small products without packing."""
    monkeypatch.setattr(tiles, "small_products_are_not_packed", lambda: True)


@pytest.mark.parametrize("rows", [1, 2, 3, 6])
@pytest.mark.parametrize("columns", [1, 4, 12])
@pytest.mark.parametrize("outer", [(), (4,)])
def test_tiles_together_are_the_product(rng, rows: int, columns: int, outer: tuple) -> None:
    cut = Tiling(rows, columns)
    a, w = rng.standard_normal((*outer, M, K)), rng.standard_normal((*outer, K, N))
    out = np.full((*outer, M, N), np.nan)
    np.matmul(cut.left(a), cut.right(w), out=cut.result(out))
    np.testing.assert_allclose(out, a @ w, rtol=1e-12)


def test_one_left_factor_serves_all_gates_and_a_transposed_right_one_is_taken(rng) -> None:
    cut = Tiling(3, 4)
    a, w, out = rng.standard_normal((M, K)), rng.standard_normal((4, N, K)), np.empty((4, M, N))
    np.matmul(cut.left(a), cut.right(w.transpose(0, 2, 1)), out=cut.result(out))
    np.testing.assert_allclose(out, a @ w.transpose(0, 2, 1), rtol=1e-12)


def test_factors_and_result_are_views_and_only_weights_that_are_cut_are_copied(rng) -> None:
    a, w, out = np.zeros((2, M, K)), np.zeros((2, K, N)), np.zeros((2, M, N))
    strided = np.zeros((2, 3, M, K))[:, 1]  # as one step of a tape
    cut, whole = Tiling(2, 4), Tiling(M, N)
    assert np.shares_memory(cut.left(a), a)
    assert np.shares_memory(cut.left(strided), strided)
    assert np.shares_memory(cut.result(out), out)
    assert np.shares_memory(whole.right(w), w)
    assert cut.right(w).flags.c_contiguous


@pytest.mark.parametrize("cut", [Tiling(1, N), Tiling(1, 4)])
def test_one_row_reads_weights_where_they_lie(rng, cut: Tiling) -> None:
    """Also transposed ones; weights that are cut are a copy, as for more rows."""
    w, a = rng.standard_normal((4, N, K)), rng.standard_normal((4, 1, K))
    turned = w.transpose(0, 2, 1)
    times_w = product(turned, cut, out=np.empty((4, 1, N)))
    np.testing.assert_allclose(times_w(a), a @ turned, rtol=1e-12)
    w *= 2
    np.testing.assert_allclose(times_w(a), a @ turned / (1 if cut == (1, N) else 2), rtol=1e-12)


def test_one_row_for_all_gates(rng) -> None:
    a, w, out = rng.standard_normal((1, K)), rng.standard_normal((4, K, N)), np.empty((4, 1, N))
    assert row_product(w, out)(a) is out
    np.testing.assert_allclose(out, a @ w, rtol=1e-12)


@pytest.mark.usefixtures("unpacked")
@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((25, 128, 128), (25, 128)),  # small as it is
        ((16, 256, 256), (16, 64)),
        ((50, 512, 512), (25, 64)),
        ((64, 1024, 1024), (8, 64)),
        ((53, 512, 512), (53, 32)),  # 64 columns would leave one row
        ((53, 1024, 1024), (53, 1024)),  # nothing fits 53
        ((16, 300, 300), (16, 100)),  # no 64 divides it
        ((16, 509, 509), (16, 509)),  # nothing does
        ((6, 2048, 2048), (6, 64)),
        ((2, 1024, 1024), (2, 64)),
        ((1, 2048, 2048), (1, 2048)),  # a vector
    ],
)
def test_the_rule(sizes: tuple[int, int, int], expected: tuple[int, int]) -> None:
    assert tiling(*sizes) == expected


@pytest.mark.usefixtures("unpacked")
def test_tiles_divide_the_result_and_stay_below_the_limit(rng) -> None:
    cuts = 0
    for M, K, N in rng.integers([1, 1, 1], [200, 1500, 1500], (500, 3)).tolist():
        cut = tiling(M, K, N)
        assert M % cut.rows == N % cut.columns == 0
        if cut != (M, N):
            cuts += 1
            assert cut.rows * K * cut.columns <= LARGEST_WITHOUT_PACKING
    assert cuts > 100


@pytest.mark.parametrize(
    "hindrance",
    [
        {"threads": "2"},
        {"threads": None},
        {"blas": "accelerate"},
        {"found": ["X86_V3"]},
        {"forced": "Haswell"},
        {"settings": {}},
        {"settings": {"Build Dependencies": {"blas": {"name": "openblas"}}}},
    ],
)
def test_where_small_products_are_packed_too_nothing_is_cut(monkeypatch, hindrance: dict) -> None:
    machine = {"threads": "1", "blas": "scipy-openblas", "found": ["AVX512_SKX"], "forced": None}

    def answer(**different) -> bool:
        here = machine | different
        settings = here.get(
            "settings",
            {
                "Build Dependencies": {"blas": {"name": here["blas"]}},
                "SIMD Extensions": {"found": here["found"]},
            },
        )
        monkeypatch.setattr(np, "show_config", lambda mode: settings)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        for name, key in (("OPENBLAS_NUM_THREADS", "threads"), ("OPENBLAS_CORETYPE", "forced")):
            if here[key] is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, here[key])
        return tiles.small_products_are_not_packed.__wrapped__()

    assert answer()
    assert answer(forced="skylakex", found=["X86_V4"])
    assert not answer(**hindrance)


@pytest.mark.parametrize(
    ("openblas", "openmp", "one"),
    [("1", "4", True), ("2", "1", False), ("", "1", True), ("", "", False)],
)
def test_openblas_has_the_first_word_and_openmp_the_second(
    monkeypatch, openblas: str, openmp: str, one: bool
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", openblas)
    monkeypatch.setenv("OMP_NUM_THREADS", openmp)
    assert tiles.products_use_one_thread() is one


def test_the_question_is_answered_for_this_machine() -> None:
    assert tiles.small_products_are_not_packed() in (True, False)


@pytest.mark.usefixtures("unpacked")
def test_one_product_in_tiles(rng, monkeypatch) -> None:
    monkeypatch.setattr(tiles, "LARGEST_WITHOUT_PACKING", 2_000)
    a, w = rng.standard_normal((24, K)), rng.standard_normal((4, K, 64))
    assert tiling(24, K, 64) == (12, 32)
    out = np.full((4, 24, 64), np.nan)
    assert multiply(a, w, out, tiling(24, K, 64)) is out
    np.testing.assert_allclose(out, a @ w, rtol=1e-12)


@pytest.mark.parametrize("cut", [Tiling(1, 5), Tiling(3, 1), Tiling(1, 1)])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_layer_computes_the_same_in_tiles(rng, monkeypatch, cell: str, cut: Tiling) -> None:
    T, B, D, H = 7, 3, 4, 5
    assert T < lstm.ENOUGH_STEPS_TO_CUT
    monkeypatch.setattr(lstm, "ENOUGH_STEPS_TO_CUT", T)
    layer = random_layer(cell, D, H)
    x, state, dstate = (
        rng.standard_normal((T, B, D)),
        random_state(B, H, rng),
        random_state(B, H, rng),
    )
    dout = rng.standard_normal((T, B, H))
    whole = both_ways(layer, x, state, dout, dstate=dstate)
    layer.cuts = Cuts({Sizes(B, H, H): cut})
    assert layer.tape(T, B).tiling is cut
    tiled = both_ways(layer, x, state, dout, dstate=dstate)

    close = {"rtol": 1e-12, "atol": 1e-13}
    np.testing.assert_allclose(tiled.out, whole.out, **close)
    np.testing.assert_allclose(tiled.end, whole.end, **close)
    np.testing.assert_allclose(tiled.dx, whole.dx, **close)
    np.testing.assert_allclose(tiled.dstart, whole.dstart, **close)
    assert tiled.gradients.keys() == whole.gradients.keys()
    for name, gradient in whole.gradients.items():
        np.testing.assert_allclose(tiled.gradients[name], gradient, **close, err_msg=name)


def test_few_steps_are_not_worth_cutting_the_weights_for() -> None:
    layer = random_layer("lstm", 4, 5)
    layer.cuts = Cuts({Sizes(3, 5, 5): Tiling(1, 1)})
    assert layer.tape(lstm.ENOUGH_STEPS_TO_CUT, 3).tiling == (1, 1)
    assert layer.tape(lstm.ENOUGH_STEPS_TO_CUT - 1, 3).tiling == (3, 5)
