"""The text to look at: which characters, from where, and how many."""

import gzip
import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from charlstm.errors import FileError
from charlstm.look.cells import glyphs
from charlstm.look.cells.text import read_text
from charlstm.text.code_points import TextRules
from charlstm.text.marking import ItemRules
from charlstm.text.vocabulary import UnknownCharacterError, Vocabulary

PLAIN = TextRules()
ABC = Vocabulary.of_characters(map(ord, "abc\n é"))


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abé\ncab", encoding="utf-8")
    text = read_text(str(tmp_path / "t.txt"), ABC, PLAIN)
    assert "".join(text.characters) == "abé\ncab"
    assert ABC.decode(text.ids) == "abé\ncab"
    assert not text.cut


def test_only_the_first_characters(tmp_path: Path) -> None:
    """What follows is not even asked for being known."""
    (tmp_path / "t.txt").write_text("abcabc" + "?" * 9)
    text = read_text(str(tmp_path / "t.txt"), ABC, PLAIN, longest=6)
    assert ("".join(text.characters), text.cut) == ("abcabc", True)
    (tmp_path / "t.txt").write_text("abcabc")
    assert not read_text(str(tmp_path / "t.txt"), ABC, PLAIN, longest=6).cut


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(b"cab"))
    assert read_text(str(tmp_path / "t.txt.gz"), ABC, PLAIN).characters == ["c", "a", "b"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, "\ufeffae\u0301\r\nb".encode())
    rules = TextRules(newlines="normalize", normalize="NFC")
    assert "".join(read_text("-", ABC, rules).characters) == "aé\nb"


def test_unknown_characters_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("ab?a!")
    with pytest.raises(UnknownCharacterError, match=r"t\.txt: .*'\?' \(U\+003F\), '!'") as caught:
        read_text(str(tmp_path / "t.txt"), ABC, PLAIN)
    assert caught.value.exit_code == 3


def test_unknown_characters_become_the_replacement(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("ab?a")
    text = read_text(str(tmp_path / "t.txt"), ABC, replace(PLAIN, replacement="c"))
    assert "".join(text.characters) == "abca"


@pytest.mark.parametrize(("data", "message"), [(b"a", "two characters"), (b"a\xff", "UTF-8")])
def test_what_cannot_be_read(data: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, data)
    with pytest.raises(FileError, match=message):
        read_text("-", ABC, PLAIN)


def test_bytes_know_their_character(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("éé“".encode() + b"\xffa")
    text = read_text(str(tmp_path / "t.txt"), Vocabulary.of_bytes(), PLAIN)
    assert text.ids.tobytes() == "éé“".encode() + b"\xffa"
    assert text.characters == [*"éééé“““", "\udcff", "a"]
    assert glyphs.bytes_in_text(text.characters) == ["", "é", "", "é", "", "", "“", "\\xff", "a"]
    assert text.ends().tolist() == [1, 3, 6, 7, 8]


def test_everything_can_be_seen() -> None:
    assert glyphs.in_text("\u00a0\u2009\u3000") == ["\u00a0", "\u2009", "\u3000"]
    assert glyphs.label("\u00a0") == "⍽"
    assert glyphs.in_text("a \n\t\x00\x1b\u0301\u202e<") == [
        *["a", " ", "\n", "→", "␀", "␛", "◌\u0301", "U+202E", "<"]
    ]
    assert [glyphs.label(c) for c in " \n\x7f"] == ["␣", "↵", "␡"]
    assert glyphs.of_vocabulary(Vocabulary.of_bytes())[0x41:0x43] == ["A", "B"]
    assert glyphs.of_vocabulary(Vocabulary.of_bytes())[0xC3] == "\\xc3"
    assert glyphs.of_vocabulary(ABC) == ["↵", "␣", "a", "b", "c", "é"]


def test_a_list_is_read_as_it_stands(tmp_path: Path):
    (tmp_path / "list.txt").write_text("ab\n\nba\n")
    rules = TextRules(items=ItemRules("lines"))
    text = read_text(str(tmp_path / "list.txt"), Vocabulary.of_characters(b"\nab"), rules)
    assert "".join(text.characters) == "ab\n\nba\n"
    assert text.ids.tolist() == [1, 2, 0, 0, 2, 1, 0]
    marked = Vocabulary.of_characters(b"ab").with_specials(["end"])
    with pytest.raises(FileError, match="only items that are lines without labels"):
        read_text(str(tmp_path / "list.txt"), marked, TextRules(items=ItemRules("paragraphs")))
