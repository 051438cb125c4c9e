"""Corpora: reading, encoding and splitting texts."""

import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import ConfigError, FileError
from charlstm.text import code_points
from charlstm.text import corpus as corpus_module
from charlstm.text.code_points import TextFiles, TextRules
from charlstm.text.corpus import encode_corpus, read_corpus, split
from charlstm.text.vocabulary import UnknownCharacterError, Vocabulary


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_bytes("banana é\r\n".encode())
    return path


def test_a_corpus_is_its_text(text_file: Path) -> None:
    corpus = read_corpus([str(text_file)])
    assert corpus.vocabulary.decode(corpus.ids) == "banana é\r\n"
    assert corpus.vocabulary == Vocabulary.of_characters(map(ord, "\n\r abné"))
    assert corpus.ids.tolist() == [4, 3, 5, 3, 5, 3, 2, 6, 1, 0]
    assert corpus.ids.dtype == np.uint8
    assert corpus.characters == 10
    assert corpus.sha256 == hashlib.sha256("banana é\r\n".encode()).hexdigest()
    assert corpus.files == (text_file,)
    assert corpus.warnings == ()
    assert corpus.source_bits_per_character(0, 10) is None


def test_blocks_do_not_show(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(chr(0x400 + i % 700) for i in range(5000))
    text_file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(code_points, "BLOCK_BYTES", 333)
    corpus = read_corpus([text_file])
    assert corpus.ids.dtype == np.uint16
    assert corpus.vocabulary.decode(corpus.ids) == text


def test_newlines_and_normal_form_are_options(text_file: Path) -> None:
    text_file.write_bytes("e\u0301\r\nb\r".encode())
    corpus = read_corpus([text_file], TextRules(newlines="normalize", normalize="NFC"))
    assert corpus.vocabulary.decode(corpus.ids) == "é\nb\n"
    again = encode_corpus(
        [text_file], corpus.vocabulary, TextRules(newlines="normalize", normalize="NFC")
    )
    assert again.ids.tolist() == corpus.ids.tolist()


@pytest.mark.parametrize(
    ("min_count", "expected"),
    [(1, "aaabbc\0"), (2, "aaabb??"), (3, "aaa????"), (4, "???????")],
)
def test_rare_characters_are_replaced(text_file: Path, min_count: int, expected: str) -> None:
    text_file.write_bytes(b"aaabbc\0")
    corpus = read_corpus([text_file], TextRules(replacement="?"), min_count=min_count)
    assert corpus.vocabulary.decode(corpus.ids) == expected
    assert corpus.vocabulary == Vocabulary.of_characters(map(ord, expected))


def test_a_rare_replacement_stays_itself(text_file: Path) -> None:
    text_file.write_bytes(b"aa?b")
    corpus = read_corpus([text_file], TextRules(replacement="?"), min_count=2)
    assert corpus.vocabulary.decode(corpus.ids) == "aa??"
    assert corpus.vocabulary.size == 2


@pytest.mark.parametrize("replacement", ["", "ab", "\ud800"])
def test_a_replacement_is_one_character(text_file: Path, replacement: str) -> None:
    with pytest.raises(ConfigError, match="exactly one character"):
        read_corpus([text_file], TextRules(replacement=replacement), min_count=2)


def test_bytes_mode_takes_anything(text_file: Path) -> None:
    text_file.write_bytes(bytes(range(255, -1, -1)))
    corpus = read_corpus([text_file], TextRules(unit="bytes"))
    assert corpus.ids.tolist() == list(range(255, -1, -1))
    assert corpus.vocabulary == Vocabulary.of_bytes()
    assert encode_corpus([text_file], corpus.vocabulary).ids.tolist() == corpus.ids.tolist()


@pytest.mark.parametrize(
    ("rule", "min_count"), [({"newlines": "normalize"}, 1), ({"normalize": "NFC"}, 1), ({}, 2)]
)
def test_bytes_mode_changes_no_byte(text_file: Path, rule: dict, min_count: int) -> None:
    with pytest.raises(ConfigError, match="unit=bytes keeps every byte"):
        read_corpus([text_file], TextRules(unit="bytes", **rule), min_count=min_count)


def test_an_existing_vocabulary_refuses_what_it_lacks(text_file: Path) -> None:
    vocabulary = Vocabulary.of_characters(map(ord, "\n\r abn"))
    with pytest.raises(UnknownCharacterError) as caught:
        encode_corpus([text_file], vocabulary)
    assert str(caught.value) == f"{text_file}: not in the vocabulary: 'é' (U+00E9)"
    assert caught.value.code_points == [0xE9]
    corpus = encode_corpus([text_file], vocabulary, TextRules(replacement="n"))
    assert vocabulary.decode(corpus.ids) == "banana n\r\n"
    with pytest.raises(UnknownCharacterError, match="'é'"):
        encode_corpus([text_file], vocabulary, TextRules(replacement="z"))


def test_a_replacement_that_is_unknown_too_matters_only_where_it_is_needed(text_file: Path) -> None:
    """A text without rare characters leaves a run's replacement out of its vocabulary."""
    vocabulary = read_corpus([text_file], min_count=1).vocabulary
    corpus = encode_corpus([text_file], vocabulary, TextRules(replacement="\ufffd"))
    assert vocabulary.decode(corpus.ids) == "banana é\r\n"


@pytest.mark.parametrize("min_count", [1, 2])
def test_a_vocabulary_may_be_known_before(text_file: Path, min_count: int) -> None:
    known = Vocabulary.of_characters(map(ord, "\nbz"))
    rules = TextRules(replacement="~")
    corpus = read_corpus([text_file], rules, min_count=min_count, known=known)
    wanted = "\n\r abnzé" if min_count == 1 else "\nabnz~"
    assert corpus.vocabulary == Vocabulary.of_characters(map(ord, wanted))
    text = corpus.vocabulary.decode(corpus.ids)
    assert text == ("banana é\r\n" if min_count == 1 else "banana~~~\n")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_text_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=r"a\.txt and 1 more: the text is empty"):
        read_corpus([tmp_path / "a.txt", tmp_path / "b.txt"])


@pytest.mark.parametrize("later", [b"banana", b"banananas", b"bananaz", b"bbbbbbb", b"ba"])
def test_a_text_that_changes_meanwhile_is_refused(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, later: bytes
) -> None:
    text_file.write_bytes(b"bananas")
    survey = corpus_module._survey

    def survey_then_change(text: TextFiles) -> object:
        found = survey(text)
        text_file.write_bytes(later)
        return found

    monkeypatch.setattr(corpus_module, "_survey", survey_then_change)
    with pytest.raises(FileError, match="changed while it was being read"):
        read_corpus([text_file])


def write_sidecar(text_file: Path, **changes: object) -> None:
    content = text_file.read_bytes()
    sidecar = {
        "format": 1,
        "text": text_file.name,
        "characters": len(content.decode()),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bits": 20.0,
        "bits_per_character": 2.0,
        "checkpoints": [[4, 6.0]],
    }
    text_file.with_name("notes.entropy.json").write_text(json.dumps(sidecar | changes))


def test_known_entropy_is_found_beside_the_text(text_file: Path) -> None:
    write_sidecar(text_file)
    corpus = read_corpus([text_file])
    assert corpus.source_bits_per_character(0, 10) == 2.0
    assert corpus.source_bits_per_character(2, 10) == 14 / 6
    again = encode_corpus([text_file], corpus.vocabulary)
    assert again.source_bits_per_character(2, 10) == 14 / 6


def test_entropy_of_another_text_is_a_warning(text_file: Path) -> None:
    write_sidecar(text_file, sha256="0" * 64)
    corpus = read_corpus([text_file])
    assert corpus.known_entropy is None
    assert corpus.warnings == (
        f"{text_file.with_name('notes.entropy.json')}: ignored:"
        " belongs to another text, or to this one before it changed",
    )


def test_known_entropy_is_not_that_of_a_changed_or_joined_text(text_file: Path) -> None:
    write_sidecar(text_file)
    assert read_corpus([text_file], min_count=2).known_entropy is None
    assert read_corpus([text_file, text_file]).known_entropy is None
    assert read_corpus([text_file], TextRules(newlines="normalize")).known_entropy is None


@pytest.mark.parametrize(
    ("length", "validation", "test", "expected"),
    [
        (1_115_394, 0.1, 0.0, (1_003_854, 111_540, 0)),  # as int(0.9 * n), the usual split
        (100, 0.07, 0.0, (93, 7, 0)),
        (1000, 0.1, 0.05, (850, 100, 50)),
        (1000, 0.0, 0.29, (710, 0, 290)),
        (11, 0.0, 0.0, (11, 0, 0)),
    ],
)
def test_split_keeps_the_order(
    length: int, validation: float, test: float, expected: tuple[int, int, int]
) -> None:
    ids = np.arange(length, dtype=np.uint32)
    parts = split(ids, validation, test)
    assert tuple(map(len, parts)) == expected
    assert np.array_equal(np.concatenate(parts), ids)
    assert all(np.shares_memory(part, ids) for part in parts if len(part))


def test_a_part_too_short_to_predict_anything_is_refused() -> None:
    with pytest.raises(FileError, match="of its 9 characters the validation part gets 1"):
        split(np.zeros(9, np.uint8), 0.1)


def test_memory_is_that_of_the_ids(text_file: Path) -> None:
    """One byte a character and a constant; ``numpy`` tells ``tracemalloc`` of its arrays."""
    text_file.write_bytes(b"the quick brown fox jumps over the lazy dog\n" * 1_500_000)
    tracemalloc.start()
    corpus = read_corpus([text_file])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.characters == 66_000_000
    assert peak < 66_000_000 + 40_000_000
