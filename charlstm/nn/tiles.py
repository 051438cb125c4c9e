"""Matrix products cut into tiles, each small enough to be computed without packing.

BLAS packs the factors of a large product: it copies them into the order its kernel reads. That
pays when every number is then used many times. The product inside the recurrence, ``(B, H) @
(4, H, H)``, uses a weight only B times, and packs all of them again at every step: at B 16 and H
256 it takes 116 microseconds, of which 78 are arithmetic. For AVX-512 processors OpenBLAS also has
kernels that read both factors where they lie, and takes them for products of at most a million
multiply-adds on one thread. Cut into tiles below that limit, with each tile's weights side by side
in memory, the same product takes 76 microseconds. Where there are no such kernels a cut costs up to
40 %, and nothing is cut.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from charlstm.nn.blas_threads import products_use_one_thread
from charlstm.nn.parameter import Array

# interface/gemm.c and kernel/x86_64/sgemm_small_kernel_permit_skylakex.c in OpenBLAS 0.3.31.
LARGEST_WITHOUT_PACKING = 1_000_000
# Measured on Zen 4: 64 columns are best, fewer than 32 waste vector registers; 8 rows are as good
# as more, and tiles of fewer than 4 lose to the whole product, unless there are no more rows.
BEST_COLUMNS, COLUMNS = 64, range(32, 129)
ENOUGH_ROWS, LEAST_ROWS = 8, 4


class Tiling(NamedTuple):
    """``(..., M, K) @ (..., K, N)`` in tiles of ``rows`` by ``columns`` of the result.

    ``np.matmul(tiling.left(a), tiling.right(w), out=tiling.result(out))`` is ``a @ w``.
    """

    rows: int
    columns: int

    def left(self, a: Array) -> Array:
        """A view of ``a``: ``(..., M, K)`` to ``(..., 1, M / rows, rows, K)``."""
        *outer, M, K = a.shape
        return a.reshape(*outer, 1, M // self.rows, self.rows, K)

    def right(self, w: Array) -> Array:
        """``w``: ``(..., K, N)`` to ``(..., N / columns, 1, K, columns)``, each tile contiguous."""
        *outer, K, N = w.shape
        tiles = w.reshape(*outer, K, N // self.columns, self.columns).swapaxes(-3, -2)
        return np.ascontiguousarray(tiles)[..., np.newaxis, :, :]

    def result(self, out: Array) -> Array:
        """A view of ``out``: ``(..., M, N)`` to ``(..., N / columns, M / rows, rows, columns)``."""
        *outer, M, N = out.shape
        tiles = out.reshape(*outer, M // self.rows, self.rows, N // self.columns, self.columns)
        return np.moveaxis(tiles, -2, -4)


def tiling(M: int, K: int, N: int) -> Tiling:
    """How to compute ``(M, K) @ (K, N)``: a rule and not a measurement, for the same sizes must
    give the same bits every time.
    """
    whole = Tiling(M, N)
    small = M == 1 or M * K * N <= LARGEST_WITHOUT_PACKING  # one row is never packed
    if small or not small_products_are_not_packed():
        return whole
    cuts = [Tiling(_rows(M, K, columns), columns) for columns in COLUMNS if N % columns == 0]
    best = max(cuts, key=_preference, default=whole)
    return best if best.rows >= min(LEAST_ROWS, M) else whole


def _rows(M: int, K: int, columns: int) -> int:
    """The most rows that divide M and keep a tile within the limit."""
    limit = LARGEST_WITHOUT_PACKING // (K * columns)
    return max((rows for rows in range(1, min(M, limit) + 1) if M % rows == 0), default=0)


def _preference(cut: Tiling) -> tuple[int, bool, int]:
    best = cut.columns == BEST_COLUMNS
    return min(cut.rows, ENOUGH_ROWS), best, cut.columns


def product(w: Array, cut: Tiling, out: Array) -> Callable[[Array], Array]:
    """The product with ``w`` as a function: ``times_w(a)`` is ``a @ w``, held in ``out``.

    ``w``: ``(gates, K, N)``; ``a``: ``(gates, M, K)``, or ``(M, K)`` for all gates; ``out``:
    ``(gates, M, N)``. For a loop: ``w`` is cut here, once, and ``a`` is only looked at in tiles.
    """
    M, N = out.shape[1:]
    if cut == (M, N):
        return _whole_product(w, out)
    right, result = cut.right(w), cut.result(out)
    left = (-1, 1, M // cut.rows, cut.rows, w.shape[1])  # as in Tiling.left, for either shape of a

    def times_w(a: Array) -> Array:
        np.matmul(a.reshape(left), right, out=result)
        return out

    return times_w


def _whole_product(w: Array, out: Array) -> Callable[[Array], Array]:
    """One row uses every weight once: they are read where they lie, not worth a copy."""
    right = w if out.shape[1] == 1 else np.ascontiguousarray(w)

    def times_w(a: Array) -> Array:
        return np.matmul(a, right, out=out)

    return times_w


def row_product(w: Array, out: Array) -> Callable[[Array], Array]:
    """As `product`, for one row ``(1, K)`` that meets all gates, and so many of them that a copy of
    ``w`` with the gates side by side is nothing: one call of BLAS instead of four.
    """
    gates, K, N = w.shape
    side_by_side = np.ascontiguousarray(w.swapaxes(0, 1)).reshape(K, gates * N)
    flat = out.reshape(gates * N)

    def times_w(a: Array) -> Array:
        np.dot(a[0], side_by_side, out=flat)
        return out

    return times_w


def multiply(a: Array, w: Array, out: Array, cut: Tiling) -> Array:
    """``a @ w`` for one product alone: ``(..., M, K) @ (..., K, N)``."""
    if cut == out.shape[-2:]:
        return np.matmul(a, w, out=out)
    np.matmul(cut.left(a), cut.right(w), out=cut.result(out))
    return out


@cache
def small_products_are_not_packed() -> bool:
    """Whether BLAS is an OpenBLAS that has such kernels for this processor, and uses one thread."""
    settings = np.show_config(mode="dicts")  # what is empty is missing
    blas = settings.get("Build Dependencies", {}).get("blas", {}).get("name", "")
    instructions = settings.get("SIMD Extensions", {}).get("found", [])
    avx512 = bool({"X86_V4", "AVX512_SKX"} & set(instructions))  # NumPy 2.4's name, and the older
    forced = os.environ.get("OPENBLAS_CORETYPE", "SkylakeX")
    return (
        "openblas" in blas and avx512 and forced.lower() == "skylakex" and products_use_one_thread()
    )
