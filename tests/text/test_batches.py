"""Batches: which characters a batch holds."""

from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import FileError
from charlstm.system.comm import lane_range
from charlstm.text.batches import Batches

B, T = 3, 4


def all_of(batches: Batches) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for k in range(batches.steps_per_epoch):
        x = np.full((batches.sequence_length, batches.batch_size), -1, np.intp)
        y = x.copy()
        batches.batch(k, x, y)
        found.append((x, y))
    return found


def test_columns_are_contiguous_runs_carried_from_batch_to_batch() -> None:
    ids = np.arange(100, 130, dtype=np.uint8)  # runs of (30 - 1) // 3 = 9: two batches of 4
    batches = Batches(ids, B, T)
    assert batches.steps_per_epoch == 2
    whole = np.concatenate([x for x, _ in all_of(batches)])
    expected = [[100 + 9 * b + t for b in range(B)] for t in range(8)]
    assert whole.tolist() == expected
    assert all((y == x + 1).all() for x, y in all_of(batches))


def test_batches_are_those_of_a_plain_loop() -> None:
    ids = np.random.default_rng(3).integers(0, 60_000, size=301, dtype=np.uint16)
    batches = Batches(ids, 5, 7)
    run = 300 // 5
    for k, (x, y) in enumerate(all_of(batches)):
        for b in range(5):
            for t in range(7):
                assert x[t, b] == ids[b * run + k * 7 + t]
                assert y[t, b] == ids[b * run + k * 7 + t + 1]
    assert k == 60 // 7 - 1


def test_the_shortest_text_makes_one_batch() -> None:
    (x, y), *others = all_of(Batches(np.arange(B * T + 1, dtype=np.uint8), B, T))
    assert not others
    assert x.T.ravel().tolist() == list(range(12))
    assert y.T.ravel().tolist() == list(range(1, 13))


@pytest.mark.parametrize("length", [0, 1, B * T])
def test_too_short_a_text_says_how_long_it_must_be(length: int) -> None:
    with pytest.raises(FileError) as caught:
        Batches(np.zeros(length, np.uint8), B, T)
    assert str(caught.value) == (
        f"the training text is too short: {length} characters, but 3 streams of 4 need 13;"
        " lower batch_size, sequence_length or validation_fraction, or add text"
    )


def test_arrays_are_reused() -> None:
    batches = Batches(np.arange(30, dtype=np.uint8), B, T)
    x, y = np.empty((T, B), np.intp), np.empty((T, B), np.intp)
    batches.batch(1, x, y)
    batches.batch(0, x, y)
    assert x[0].tolist() == [0, 9, 18]
    assert y[0].tolist() == [1, 10, 19]


def test_every_epoch_is_alike() -> None:
    batches = Batches(np.arange(30, dtype=np.uint8), B, T)  # two batches
    found = np.empty((5, 2, T, B), np.intp)
    for step, (x, y) in enumerate(found):
        batches.batch(step, x, y)
    np.testing.assert_array_equal(found[2:4], found[:2])
    np.testing.assert_array_equal(found[4], found[0])
    assert (found[0] != found[1]).all()


def test_memory_mapped_text_gives_the_same_batches(tmp_path: Path) -> None:
    ids = np.random.default_rng(5).integers(0, 200, size=500, dtype=np.uint8)
    ids.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", dtype=np.uint8, mode="r")
    batches = Batches(mapped, 6, 5)
    assert np.shares_memory(batches._ids, mapped)
    for (x, y), (mapped_x, mapped_y) in zip(
        all_of(Batches(ids, 6, 5)), all_of(batches), strict=True
    ):
        assert np.array_equal(x, mapped_x)
        assert np.array_equal(y, mapped_y)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_workers_lanes_make_up_the_batch(size: int) -> None:
    batches = Batches(np.random.default_rng(6).integers(0, 99, 400).astype(np.uint8), 7, 5)
    ranges = [lane_range(7, rank, size) for rank in range(size)]
    assert max(b - a for a, b in ranges) - min(b - a for a, b in ranges) <= 1
    parts = [batches.lanes(*lanes) for lanes in ranges]
    assert all(part.steps_per_epoch == batches.steps_per_epoch for part in parts)
    for k, (x, y) in enumerate(all_of(batches)):
        assert np.array_equal(np.hstack([all_of(part)[k][0] for part in parts]), x)
        assert np.array_equal(np.hstack([all_of(part)[k][1] for part in parts]), y)
