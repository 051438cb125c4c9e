"""Vocabulary: characters and bytes to ids and back, and what it refuses."""

import tracemalloc

import numpy as np
import pytest

from charlstm.errors import FileError
from charlstm.text.vocabulary import UnknownCharacterError, Vocabulary


def vocabulary_of(text: str) -> Vocabulary:
    return Vocabulary.of_characters(map(ord, text))


def test_ids_are_places_in_code_point_order() -> None:
    vocabulary = vocabulary_of("zebra ябло 😀 zz")
    assert [chr(code) for code in vocabulary.code_points] == sorted(set("zebra ябло 😀 zz"))
    ids = vocabulary.encode("a😀я z")
    assert ids.tolist() == [sorted(set("zebra ябло 😀 zz")).index(c) for c in "a😀я z"]
    assert vocabulary.decode(ids) == "a😀я z"


def test_order_and_repetition_do_not_matter() -> None:
    assert vocabulary_of("banana") == vocabulary_of("nab")
    assert hash(vocabulary_of("banana")) == hash(vocabulary_of("nab"))
    assert vocabulary_of("banana") != vocabulary_of("bananas")


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")],
)
def test_ids_take_the_smallest_type_that_holds_them(size: int, dtype: str) -> None:
    codes = np.r_[0:0xD800, 0xE000:0x110000][:size]
    vocabulary = Vocabulary.of_characters(codes)
    last = chr(vocabulary.code_points[-1])
    ids = vocabulary.encode(last + "\0")
    assert ids.dtype == vocabulary.id_dtype == np.dtype(dtype)
    assert ids.tolist() == [size - 1, 0]


def test_unknown_characters_are_named_in_the_order_they_appear() -> None:
    with pytest.raises(UnknownCharacterError) as caught:
        vocabulary_of("abc").encode("bé😀aé\n\udce9")
    assert str(caught.value) == (
        r"not in the vocabulary: 'é' (U+00E9), '😀' (U+1F600), '\n' (U+000A), '\udce9' (U+DCE9)"
    )
    assert caught.value.exit_code == 3


def test_only_the_first_few_unknown_characters_are_named() -> None:
    error = UnknownCharacterError(list(range(0x61, 0x61 + 26)), where="notes.txt")
    assert str(error).startswith("notes.txt: not in the vocabulary: 'a' (U+0061), ")
    assert str(error).endswith("'e' (U+0065) and 21 more")


def test_unknown_characters_can_be_skipped() -> None:
    vocabulary = vocabulary_of("abc")
    assert vocabulary.decode(vocabulary.encode("x😀ab\0cé", skip_unknown=True)) == "abc"


def test_array_round_trip_is_a_copy() -> None:
    vocabulary = vocabulary_of("naïve 😀")
    array = vocabulary.to_array()
    assert array.dtype == np.uint32
    restored = Vocabulary.from_array(array)
    array[:] = 0
    assert restored == vocabulary


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.array([], np.uint32), "expected a list"),
        (np.array([[65, 66]], np.uint32), "expected a list"),
        (np.array([65, 66], np.int64), "expected uint32"),
        (np.array([65, 65], np.uint32), "increasing"),
        (np.array([66, 65], np.uint32), "increasing"),
        (np.array([65, 0xD800], np.uint32), "surrogates"),
        (np.array([65, 0xDFFF], np.uint32), "surrogates"),
        (np.array([65, 0x110000], np.uint32), "outside Unicode"),
    ],
)
def test_hostile_arrays_are_refused(array: np.ndarray, complaint: str) -> None:
    with pytest.raises(FileError, match=complaint):
        Vocabulary.from_array(array)


def test_neighbours_of_the_refused_are_accepted() -> None:
    array = np.array([0, 0xD7FF, 0xE000, 0x10FFFF], np.uint32)
    assert Vocabulary.from_array(array).size == 4


@pytest.mark.parametrize("codes", [[], [-1], [0x110000]])
def test_impossible_code_points_are_refused(codes: list[int]) -> None:
    with pytest.raises(FileError):
        Vocabulary.of_characters(codes)


def test_bytes_vocabulary_covers_anything() -> None:
    vocabulary = Vocabulary.of_bytes()
    assert (vocabulary.size, vocabulary.unit, vocabulary.id_dtype) == (256, "bytes", np.uint8)
    assert vocabulary.encode("é\udcff").tolist() == [0xC3, 0xA9, 0xFF]
    assert vocabulary.to_bytes(np.array([0xFF, 0x41])) == b"\xff\x41"
    assert vocabulary.decode(np.array([0xFF, 0x41])) == "\ufffdA"
    with pytest.raises(UnknownCharacterError, match=r"U\+D800"):
        vocabulary.encode("\ud800")


def test_bytes_and_latin_1_are_not_the_same_vocabulary() -> None:
    latin = Vocabulary.of_characters(range(256))
    assert latin != Vocabulary.of_bytes()
    assert Vocabulary.from_array(latin.to_array(), "bytes") == Vocabulary.of_bytes()
    assert latin.encode("é").tolist() == [0xE9]
    with pytest.raises(FileError, match="256 is no value of a byte"):
        Vocabulary.from_array(np.arange(257, dtype=np.uint32), "bytes")


def test_decoder_holds_back_half_a_character() -> None:
    decoder = Vocabulary.of_bytes().decoder()
    pieces = [decoder.decode(np.array([byte])) for byte in "a😀".encode()]
    assert pieces == ["a", "", "", "", "😀"]
    assert decoder.decode(np.array([0xC3])) == ""
    assert decoder.decode(np.array([], np.intp), final=True) == "\ufffd"


def test_decoder_of_characters_gives_all_at_once() -> None:
    vocabulary = vocabulary_of("a😀")
    assert vocabulary.decoder().decode(vocabulary.encode("😀a")) == "😀a"


def test_encoding_makes_no_object_per_character() -> None:
    vocabulary = vocabulary_of("abc")
    text = "abcabcab" * 50_000
    vocabulary.encode("a")
    tracemalloc.start()
    vocabulary.encode(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(text)


def test_some_bytes_only():
    content = "\u00e9a\n".encode()
    vocabulary = Vocabulary.of_bytes(content * 3)
    assert (vocabulary.size, vocabulary.unit) == (4, "bytes")
    ids = vocabulary.encode("\u00e9\n")
    assert ids.tolist() == [3, 2, 0]
    assert vocabulary.to_bytes(ids) == "\u00e9\n".encode()
    assert vocabulary.default_start().tolist() == [0]
    assert Vocabulary.from_array(vocabulary.to_array(), "bytes") == vocabulary
    assert vocabulary != Vocabulary.of_bytes()
    with pytest.raises(UnknownCharacterError):
        vocabulary.encode("b")
    with pytest.raises(FileError, match="256 is no value of a byte"):
        Vocabulary.from_array(np.array([1, 256], np.uint32), "bytes")
