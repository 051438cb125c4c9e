"""Which cut of a product is taken: by measurement, where a run may choose, and as stated."""

import numpy as np
import pytest

from charlstm.nn import cuts
from charlstm.nn.cuts import BY_RULE, Cuts, Sizes, Trial, candidates, parse, quickest, written
from charlstm.nn.tiles import Tiling, tiling

SAPPHIRE_RAPIDS = {
    # Microseconds of the recurrence's product, OpenBLAS 0.3.31 with its SkylakeX kernels.
    Sizes(25, 128, 128): {(25, 128): 28, (25, 64): 18},
    Sizes(16, 256, 256): {(16, 256): 82, (16, 64): 61, (16, 32): 61.5},
    Sizes(50, 512, 512): {(50, 512): 807, (25, 64): 895, (50, 32): 795},
    Sizes(32, 512, 512): {(32, 512): 654, (16, 64): 578, (32, 32): 548},
    Sizes(64, 1024, 1024): {(64, 1024): 4336, (8, 64): 6467, (64, 128): 4369},
    Sizes(4, 512, 512): {(4, 512): 271, (4, 64): 142},
}
EXPECTED = [(25, 64), (16, 64), (50, 512), (32, 32), (64, 1024), (4, 64)]


def told(table: dict[tuple[int, int], float], noise: float = 0.0) -> type[Trial]:
    """A trial whose clock says what a table does; what that lacks takes a second."""

    class Told(Trial):
        asked = 0

        def __init__(self, sizes: Sizes, dtype: np.dtype) -> None:
            del sizes, dtype

        def seconds(self, cut: Tiling, uses: float) -> float:
            del uses
            Told.asked += 1
            late = noise * (Told.asked % 3)  # every third measurement is undisturbed
            return 1e-6 * table.get(cut, 1e6) * (1 + late)

    return Told


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize(
    ("sizes", "expected"), list(zip(SAPPHIRE_RAPIDS, EXPECTED, strict=True)), ids=str
)
def test_an_intel_processor_gets_what_is_quickest_there(
    sizes: Sizes, expected: tuple[int, int], noise: float, monkeypatch
) -> None:
    """Where the rule, found on another one, took up to half as long again as the whole product."""
    monkeypatch.setattr(cuts, "SECONDS", 60)
    trial = told(SAPPHIRE_RAPIDS[sizes], noise)
    assert quickest(sizes, 50, np.dtype(np.float32), trial) == expected


def test_chance_does_not_choose() -> None:
    trial = told({(16, 256): 100, (16, 64): 96})
    assert quickest(Sizes(16, 256, 256), 64, np.dtype(np.float32), trial) == (16, 256)


def test_many_rows_are_like_some() -> None:
    trial = told({(125, 128): 100, (25, 64): 50})
    found = quickest(Sizes(1250, 128, 128), 1, np.dtype(np.float32), trial)
    assert found == (25, 64)
    assert quickest(Sizes(1250, 128, 128), 1, np.dtype(np.float32), told({(125, 128): 1})) == (
        1250,
        128,
    )


def test_what_is_hopeless_is_not_tried_again() -> None:
    trial = told({(16, 256): 100, (16, 64): 60})
    quickest(Sizes(16, 256, 256), 64, np.dtype(np.float32), trial)
    all_of_them = len(list(candidates(Sizes(16, 256, 256))))
    judged = cuts.ENOUGH_TO_JUDGE
    assert trial.asked == judged * all_of_them + (cuts.ROUNDS - judged) * 2


def test_candidates_divide_the_product() -> None:
    for sizes in (Sizes(53, 512, 512), Sizes(16, 300, 320), Sizes(128, 1024, 64)):
        found = list(candidates(sizes))
        assert found[0] == (sizes.M, sizes.N)
        assert len(found) == len(set(found)) > 2
        assert all(sizes.M % rows == sizes.N % columns == 0 for rows, columns in found)
    assert list(candidates(Sizes(1, 2048, 2048))) == [(1, 2048)]
    assert list(candidates(Sizes(8, 64, 64))) == [(8, 64)], "microseconds however it is cut"


def test_this_machine_is_measured() -> None:
    sizes = Sizes(6, 128, 384)
    found = quickest(sizes, 10, np.dtype(np.float64))
    assert found in list(candidates(sizes))
    trial = Trial(sizes, np.dtype(np.float64))
    assert 0 < trial.seconds(found, 10) < 1


def test_what_is_written_is_read_again() -> None:
    chosen = {Sizes(16, 256, 256): Tiling(16, 64), Sizes(7, 3, 5): Tiling(7, 5)}
    text = written(chosen)
    assert text == "16x256x256:16x64"
    again = parse(text)
    assert again.of(16, 256, 256) == (16, 64)
    assert again.of(7, 3, 5) == (7, 5)
    assert written({}) == "whole"
    assert parse("whole") == Cuts({})
    assert parse("whole").of(50, 512, 512) == (50, 512)


def test_without_a_word_the_rule_decides() -> None:
    assert parse("auto") is BY_RULE
    for sizes in SAPPHIRE_RAPIDS:
        assert BY_RULE.of(*sizes) == tiling(*sizes)
