"""How each product of a model is cut: as stated, or by the rule of `tiles`; and what is quickest.

No rule holds on every processor: tiles that take two thirds of the time of the whole product on
one take half as long again on another. So a run measures for a moment what it needs, and keeps the
answer, for another cut may round differently.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np

from charlstm.nn.tiles import Tiling, product, tiling

GATES = 4
ENOUGH_WORK = 250_000
"""Multiply-adds below which a product takes some microseconds however it is cut."""
COLUMNS = (32, 64, 128)
ROWS = (25, 16, 8, 4)
GAIN = 0.95
"""A cut must be quicker than the whole product by this factor: else chance would choose it."""
ROUNDS, SECONDS = 9, 0.06
HOPELESS, ENOUGH_TO_JUDGE = 1.3, 3
MOST_ROWS = 128


class Sizes(NamedTuple):
    """Of a product ``(M, K) @ (K, N)``."""

    M: int
    K: int
    N: int


@dataclass(frozen=True)
class Cuts:
    """``stated``: those that were chosen; all others are whole then. None: the rule decides."""

    stated: Mapping[Sizes, Tiling] | None = None

    def of(self, M: int, K: int, N: int) -> Tiling:
        if self.stated is None:
            return tiling(M, K, N)
        return self.stated.get(Sizes(M, K, N), Tiling(M, N))


BY_RULE = Cuts()


def parse(text: str) -> Cuts:
    """``auto``, ``whole``, or words like ``16x256x256:16x64``: M x K x N in rows x columns."""
    if text == "auto":
        return BY_RULE
    stated = {}
    for word in text.split() if text != "whole" else []:
        sizes, _, tile = word.partition(":")
        stated[Sizes(*map(int, sizes.split("x")))] = Tiling(*map(int, tile.split("x")))
    return Cuts(stated)


def written(cuts: Mapping[Sizes, Tiling]) -> str:
    """What `parse` reads; products that are whole need no word."""
    words = [
        f"{M}x{K}x{N}:{cut.rows}x{cut.columns}"
        for (M, K, N), cut in sorted(cuts.items())
        if cut != (M, N)
    ]
    return " ".join(words) or "whole"


def candidates(sizes: Sizes) -> Iterator[Tiling]:
    """The whole product first."""
    M, K, N = sizes
    yield Tiling(M, N)
    if M == 1 or M * K * N < ENOUGH_WORK:
        return
    columns = [size for size in COLUMNS if N % size == 0 and size < N]
    divisors = [rows for rows in range(1, M + 1) if M % rows == 0]
    wanted = [M, *(max(d for d in divisors if d <= most) for most in ROWS)]
    yield from (Tiling(rows, size) for rows in dict.fromkeys(wanted) for size in columns)


class Trial:
    """Times one product, as it is used there and back: with weights as they lie, and transposed."""

    def __init__(self, sizes: Sizes, dtype: np.dtype) -> None:
        M, K, N = sizes
        rng = np.random.default_rng(1)
        self._a = rng.standard_normal((GATES, M, K)).astype(dtype)
        self._there = rng.standard_normal((GATES, K, N)).astype(dtype)
        self._back = self._there.reshape(GATES, N, K).transpose(0, 2, 1)
        self._out = np.empty((GATES, M, N), dtype)

    def seconds(self, cut: Tiling, uses: float) -> float:
        """Of a product, with its part of cutting the weights, which then serve ``uses`` of them."""
        start = time.perf_counter()
        there = product(self._there, cut, self._out)
        back = product(self._back, cut, self._out)
        ready = time.perf_counter()
        there(self._a)
        back(self._a)
        return (ready - start) / uses + time.perf_counter() - ready


def quickest(sizes: Sizes, uses: int, dtype: np.dtype, trial: type[Trial] = Trial) -> Tiling:
    """The cut whose product takes least time, if weights that were cut serve ``uses`` products.

    Of many rows only some are computed: they are alike.
    """
    M, K, N = sizes
    some = max(rows for rows in range(1, min(M, MOST_ROWS) + 1) if M % rows == 0)
    tried = list(candidates(Sizes(some, K, N)))
    if len(tried) == 1:
        return Tiling(M, N)
    least = _least_seconds(trial(Sizes(some, K, N), dtype), tried, uses * M / some)
    best = min(least, key=lambda cut: least[cut])
    whole = Tiling(some, N)
    return best if least[best] < GAIN * least[whole] else Tiling(M, N)


def _least_seconds(trial: Trial, cuts: Sequence[Tiling], uses: float) -> dict[Tiling, float]:
    """In turn, so that what else runs on the machine meets all alike. Those that stay far behind
    are given up, but for the first: others are compared with it.
    """
    least = dict.fromkeys(cuts, inf)
    left, until = list(cuts), time.perf_counter() + SECONDS
    for done in range(1, ROUNDS + 1):
        for cut in left:
            least[cut] = min(least[cut], trial.seconds(cut, uses))
        if done >= ENOUGH_TO_JUDGE:
            bound = HOPELESS * min(least.values())
            left = [cut for cut in left if cut == cuts[0] or least[cut] < bound]
        if done > 1 and time.perf_counter() > until:
            break
    return least


def quickest_of(needs: Mapping[Sizes, int], dtype: np.dtype) -> dict[Sizes, Tiling]:
    """For each product that is needed, with how many use a weight once cut."""
    return {sizes: quickest(sizes, uses, dtype) for sizes, uses in needs.items()}
