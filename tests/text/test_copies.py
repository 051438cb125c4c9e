"""What of some texts stands in another, against looking at every place."""

import numpy as np
import pytest

from charlstm.text import copies
from charlstm.text.copies import NOWHERE, Texts, common_length, find_copies
from charlstm.text.window_hashes import WindowHashes

LENGTHS = (3, 5, 11)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "BLOCK", 64)
    monkeypatch.setattr(copies, "USUAL_LENGTH", 8)


def random_ids(seed: int, size: int, symbols: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(symbols, size=size).astype(np.uint8)


def first_place(text: bytes, window: bytes) -> int:
    return text.find(window)


def longest_by_looking(text: bytes, pieces: list[bytes], shortest: int) -> int | None:
    found = {
        stop - start
        for piece in pieces
        for start in range(len(piece))
        for stop in range(start + shortest, len(piece) + 1)
        if piece[start:stop] in text
    }
    return max(found, default=None)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 13, 30])
def test_equal_windows_and_only_those_have_equal_hashes(length: int):
    ids = random_ids(1, 30, 2)
    hashes = WindowHashes(ids).of(length)
    windows = [ids[start : start + length].tobytes() for start in range(len(ids) - length + 1)]
    assert len(hashes) == len(windows)
    for one, other in zip(windows, hashes, strict=True):
        assert [window == one for window in windows] == (hashes == other).tolist()


def test_hashes_do_not_depend_on_where_a_text_is_cut():
    ids = random_ids(2, 100, 3)
    whole = WindowHashes(ids)
    for length in (20, 5, 40):
        part = WindowHashes(ids[10:60]).of(length)
        np.testing.assert_array_equal(part, whole.of(length)[10 : 10 + len(part)])
    assert len(whole.of(101)) == 0


def test_a_thue_morse_text_has_no_equal_hashes():
    """Where polynomials modulo a power of two collide, whatever their base."""
    word = np.array([bin(n).count("1") % 2 for n in range(4096)])
    hashes = WindowHashes(np.concatenate([word[:2048], 1 - word[:2048]])).of(2048)
    assert hashes[0] != hashes[-1]


@pytest.mark.parametrize("symbols", [2, 3, 8])
@pytest.mark.parametrize("seed", range(4))
def test_as_by_looking_at_every_place(seed: int, symbols: int):
    text = random_ids(seed, 500, symbols)
    pieces = [random_ids(seed + 9, size, symbols) for size in (40, 2, 25, 90)]
    pieces[3][20:50] = text[100:130]  # over the border of two blocks
    others = [text[450:480]]
    found, of_others = find_copies(text, [Texts(pieces), Texts(others)], LENGTHS)
    for length in LENGTHS:
        windows = [p[i : i + length] for p in pieces for i in range(len(p) - length + 1)]
        wanted = [first_place(text.tobytes(), window.tobytes()) for window in windows]
        assert found.places[length].tolist() == wanted
        share = np.mean([place != NOWHERE for place in wanted])
        assert found.share(length) == pytest.approx(share, rel=1e-12)
    best = found.longest
    assert best is not None
    assert best.length == longest_by_looking(text.tobytes(), [p.tobytes() for p in pieces], 3)
    number, start = found.texts.place(best.start)
    copied = pieces[number][start : start + best.length]
    assert copied.tolist() == text[best.place : best.place + best.length].tolist()
    assert of_others.share(11) == 1.0
    assert of_others.longest is not None
    assert of_others.longest.length == 30


def test_windows_end_with_their_text():
    text = np.arange(50, dtype=np.uint8)
    found = find_copies(text, [Texts([text[:10], text[10:20]])], (4,))[0]
    assert len(found.places[4]) == 14
    assert found.longest is not None
    assert found.longest.length == 10


def test_a_copy_longer_than_many_blocks():
    text = random_ids(5, 3000, 4)
    found = find_copies(text, [Texts([text[:7], text[200:2900]])], (5, 20))[0]
    assert found.longest == copies.Copy(2700, 7, 200)
    assert found.share(20) == 1.0


def test_a_periodic_text():
    text = np.tile(np.array([1, 2, 3], np.uint8), 400)
    found = find_copies(text, [Texts([text[1:301]])], (5, 20))[0]
    assert found.longest == copies.Copy(300, 0, 1)
    assert set(found.places[20].tolist()) == {0, 1, 2}


def test_what_no_text_has_is_not_found():
    text = random_ids(6, 300, 4)
    strange = text[:60].astype(np.int64)
    strange[30] = -1
    found = find_copies(text, [Texts([strange])], (5, 20))[0]
    assert found.longest is not None
    assert found.longest.length == 30
    assert found.share(20) == (11 + 10) / 41


@pytest.mark.parametrize("pieces", [[], [[]], [[1, 2]]])
def test_texts_too_short_for_a_window(pieces: list[list[int]]):
    group = Texts([np.array(piece, np.int64) for piece in pieces])
    found = find_copies(random_ids(7, 300, 4), [group], (5, 20))[0]
    assert found.share(5) is None
    assert found.longest is None


def test_a_long_text_shorter_than_a_window():
    found = find_copies(random_ids(7, 4, 4), [Texts([random_ids(8, 30, 4)])], (5, 20))[0]
    assert found.share(5) == 0.0
    assert found.longest is None


def test_hashes_that_are_equal_by_chance_are_no_copies(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(WindowHashes, "of", lambda self, n: self._of_power[0][: 41 - n] * 0)
    found = find_copies(random_ids(1, 40, 4), [Texts([random_ids(2, 40, 4)])], (9,))[0]
    assert found.share(9) == 0.0
    assert found.longest is None


def test_common_length_to_the_end_of_either():
    text = random_ids(1, 400, 4)
    group = Texts([text[100:300]])
    assert common_length(group, 0, text, 100) == 200
    assert common_length(group, 150, text, 250) == 50
    assert common_length(group, 0, text[:150], 100) == 50
    other = text.copy()
    other[170] += 1
    assert common_length(group, 0, other, 100) == 70
