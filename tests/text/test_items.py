"""Lists as ids, their parts, and their order in the lanes of a batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import FileError
from charlstm.text import packing
from charlstm.text.code_points import TextRules
from charlstm.text.corpus import encode_corpus, read_corpus
from charlstm.text.items import Items, drawn, items_of
from charlstm.text.marking import ItemRules
from charlstm.text.packing import ItemBatches, locate, order_of, read

END = 99


def items_with(lengths: list[int]) -> Items:
    """Item n reads 10 n, 10 n + 1, ...: every symbol tells where it is from."""
    ids = np.concatenate([np.arange(length) + 10 * n for n, length in enumerate(lengths)])
    stops = np.cumsum(lengths)
    starts = (stops - lengths).astype(np.uint16)
    return Items(ids.astype(np.uint8), starts, np.array(lengths, np.uint8), END)


def in_a_row(items: Items, order: np.ndarray) -> list[tuple[int, int, bool]]:
    """What is read, what follows, and whether an item begins there."""
    found = []
    for number in order:
        item = items.item(number).tolist()
        following = [*item[1:], END]
        found += [(x, y, k == 0) for k, (x, y) in enumerate(zip(item, following, strict=True))]
    return found


@pytest.mark.parametrize("unit", ["characters", "bytes"])
def test_a_file_becomes_items(tmp_path: Path, unit: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text("bob\n\nada\nab\n")
    rules = ItemRules("lines")
    corpus = read_corpus([file], TextRules(unit=unit, items=rules), observed_bytes=True)
    assert corpus.vocabulary.decode(corpus.ids) == "\nbob\nada\nab"
    assert corpus.vocabulary.size == 5
    assert corpus.warnings == (f"{file}: 1 empty items were left out",)
    items = items_of(corpus.ids, rules, corpus.vocabulary)
    assert items.starts.tolist() == [0, 4, 8]
    assert items.lengths.tolist() == [4, 4, 3]
    assert items.end == corpus.vocabulary.encode("\n")[0]


def test_reserved_symbols_stand_after_the_characters(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("spam\tab\n%%\nham\tb\n%%\nspam\tb\U0001f600\n")
    rules = TextRules(items=ItemRules("\n%%\n", labels=True))
    corpus = read_corpus([file], rules)
    vocabulary = corpus.vocabulary
    assert vocabulary.specials == ("end", "label:ham", "label:spam")
    assert vocabulary.labels == ("ham", "spam")
    assert "".join(map(chr, vocabulary.code_points)) == "ab\U0001f600"
    assert corpus.ids.tolist() == [5, 0, 1, 4, 1, 5, 1, 2]
    assert vocabulary.decode(corpus.ids) == "abbb\U0001f600"
    items = items_of(corpus.ids, rules.items, vocabulary)
    assert (items.starts.tolist(), items.end) == ([0, 3, 5], 3)
    other = tmp_path / "other.txt"
    other.write_text("ham\taa")
    assert encode_corpus([other], vocabulary, rules).ids.tolist() == [4, 0, 0]
    other.write_text("eggs\taa")
    with pytest.raises(FileError, match=r"other\.txt: item 1: label 'eggs' is none of the model's"):
        encode_corpus([other], vocabulary, rules)


def test_what_ends_items_is_never_rare(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("x\taab\nx\taa")
    rules = TextRules(items=ItemRules("lines", labels=True), replacement="?")
    vocabulary = read_corpus([file], rules, min_count=2).vocabulary
    assert "".join(map(chr, vocabulary.code_points)) == "\n?a"


def test_a_list_without_items_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(FileError, match="the text is empty"):
        read_corpus([tmp_path / "list.txt"], TextRules(items=ItemRules("lines")))


def test_parts_are_whole_items_drawn_by_the_seed() -> None:
    items = items_with([1 + n % 4 for n in range(25)])
    parts = drawn(items, 7, (0.2, 0.1))
    assert [part.count for part in parts] == [18, 5, 2]
    starts = np.concatenate([part.starts for part in parts])
    assert sorted(starts.tolist()) == items.starts.tolist()
    assert all((np.diff(part.starts.astype(int)) > 0).all() for part in parts)
    same, other = drawn(items, 7, (0.2, 0.1)), drawn(items, 8, (0.2, 0.1))
    assert same[1].starts.tolist() == parts[1].starts.tolist() != other[1].starts.tolist()
    with pytest.raises(FileError, match="of its 25 items the test part gets none"):
        drawn(items, 7, (0.2, 0.03))


@pytest.mark.parametrize("T", [1, 3, 4, 9])
def test_lanes_read_item_after_item(rng, T: int) -> None:
    items = items_with(rng.integers(1, 10, 9).tolist())
    order = order_of(items.count, 1, 2)
    row = in_a_row(items, order)
    places = np.array([0, 5, len(row) - 2])
    cursor = locate(items, order, places)
    for step in range(12):
        window = read(items, order, cursor, T)
        cursor = window.after
        for lane, place in enumerate(places):
            expected = [row[(place + step * T + t) % len(row)] for t in range(T)]
            found = zip(*(array[:, lane].tolist() for array in window[:3]), strict=True)
            assert list(found) == expected


def test_a_list_of_any_length_is_read_by_whole_numbers(rng) -> None:
    items = items_with([3, 1, 2, 5])
    long = replace(items, starts=items.starts.astype(np.uint64), lengths=items.lengths.astype("u8"))
    order = order_of(4, 1, 0)
    for start in (0, 4):
        cursor = locate(long, order, np.array([start]))
        for found, expected in zip(
            read(long, order, cursor, 9)[:3], read(items, order, cursor, 9)[:3], strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_a_place_is_found_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "AT_ONCE", 4)
    items = items_with([3, 1, 2, 5, 4, 1, 7, 2, 2])
    order = order_of(9, 5, 0)
    found = [(n, k) for n, item in enumerate(order) for k in range(int(items.lengths[item]))]
    places = np.arange(items.predictions)[::-1].copy()
    cursor = locate(items, order, places)
    assert list(zip(cursor.item.tolist(), cursor.offset.tolist(), strict=True)) == found[::-1]


def test_every_epoch_has_an_order_and_every_batch_can_be_found_again(rng) -> None:
    items = items_with(rng.integers(1, 10, 25).tolist())
    B, T = 3, 4
    batches = ItemBatches(items, B, T, seed=5)
    S = batches.steps_per_epoch
    assert S == items.predictions // (B * T) > 4

    def batch_of(batches: ItemBatches, step: int) -> np.ndarray:
        x, y = np.empty((2, T, batches.batch_size), np.intp)
        begins = batches.batch(step, x, y)
        return np.stack([x, y, begins])

    straight = [batch_of(batches, step) for step in range(2 * S + 2)]
    for step in (0, 1, S - 1, S, S + 2, 2 * S + 1):
        fresh = ItemBatches(items, B, T, seed=5)
        np.testing.assert_array_equal(batch_of(fresh, step), straight[step])
        np.testing.assert_array_equal(
            np.concatenate([batch_of(fresh.lanes(a, b), step) for a, b in ((0, 2), (2, 3))], 2),
            straight[step],
        )
    first, second = np.concatenate(straight[:S], 1), np.concatenate(straight[S : 2 * S], 1)
    assert (first != second).any()
    assert first[2, 0].all()  # every lane begins with an item
    row = in_a_row(items, order_of(25, 5, 0))
    for lane in range(B):
        start = next(k for k in range(lane * len(row) // B, len(row)) if row[k][2])
        expected = [row[(start + k) % len(row)] for k in range(S * T)]
        assert [tuple(step) for step in first[:, :, lane].T.tolist()] == expected
    unread = set(range(len(row))) - {
        row.index(tuple(step)) for lane in range(B) for step in first[:, :, lane].T.tolist()
    }
    assert len(unread) < B * T


def test_batches_do_not_depend_on_how_many_are_read_at_once(rng, monkeypatch) -> None:
    items = items_with(rng.integers(1, 9, 40).tolist())
    B, T = 3, 5

    def batches_of(ahead: int, steps: range) -> list[list[int]]:
        monkeypatch.setattr(packing, "AHEAD", ahead)
        batches, x, y = ItemBatches(items, B, T, seed=4), np.empty((T, B)), np.empty((T, B))
        return [[*batches.batch(n, x, y).flat, *x.flat, *y.flat] for n in steps]

    steps = range(3 * ItemBatches(items, B, T, seed=4).steps_per_epoch)
    expected = batches_of(1, steps)
    assert expected[0] != expected[1]
    for ahead in (2 * B * T, 4 * B * T - 1, 100 * B * T):
        assert batches_of(ahead, steps) == expected
        assert batches_of(ahead, range(7, 12)) == expected[7:12]
    backwards = range(20, 3, -5)
    assert batches_of(4 * B * T, backwards) == [expected[n] for n in backwards]


def test_a_short_list_makes_one_batch_an_epoch() -> None:
    batches = ItemBatches(items_with([2, 3]), 4, 6, seed=1)
    assert batches.steps_per_epoch == 1
    x, y = np.empty((2, 6, 4), np.intp)
    assert batches.batch(0, x, y)[0].any()


def test_the_order_takes_four_bytes_an_item() -> None:
    order = order_of(1000, 1, 0)
    assert order.nbytes == 4000
    assert sorted(order.tolist()) == list(range(1000))
