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


LISTS = {  # separator and labels: the file, what is shown of it, and the symbol that ends an item
    ("lines", False): ("ab\n\nba\n", ["\nab", "\nba"], 0),
    ("paragraphs", False): ("ab\nb\n\n\nba\n", ["\x03ab\nb", "\x03ba"], 3),
    ("%", False): ("ab%ba%", ["\x03ab", "\x03ba"], 3),
    ("lines", True): ("x\tab\nw\tba\nx\tb\n", ["\x03ab", "\x03ba", "\x03b"], 0),
    ("%", True): ("x\tab%w\tba", ["\x03ab", "\x03ba"], 3),
}


@pytest.mark.parametrize("unit", ["characters", "bytes"])
@pytest.mark.parametrize("rules", LISTS)
@pytest.mark.parametrize("piped", [False, True])
def test_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, rules: tuple[str, bool], piped: bool
) -> None:
    content, shown, end = LISTS[rules]
    item_rules = ItemRules(*rules)
    known = {"characters": Vocabulary.of_characters, "bytes": Vocabulary.of_bytes}[unit](b"\nab")
    vocabulary = known.with_specials(item_rules.specials(["w", "x"] if rules[1] else []))
    (tmp_path / "list.txt").write_text(content)
    stdin(monkeypatch, content.encode())
    source = "-" if piped else str(tmp_path / "list.txt")
    text = read_text(source, vocabulary, TextRules(items=item_rules))
    assert ["".join(part) for part in text.parts()] == shown
    assert text.items is not None
    assert text.items.end == end
    read_from = text.ids[text.items.begins].tolist()
    if rules[1]:
        w, x = item_rules.start_ids(vocabulary)
        assert read_from == [x, w, x][: len(shown)]
    else:
        assert set(read_from) == {end}
    assert vocabulary.decode(text.ids) == "".join(shown).replace("\x03", "")


def test_a_list_of_bytes_shows_characters(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("é%a\xff".encode("latin-1") + "é".encode())
    vocabulary = Vocabulary.of_bytes().with_specials(["end"])
    rules = TextRules("bytes", items=ItemRules("%"))
    text = read_text(str(tmp_path / "list.txt"), vocabulary, rules)
    assert text.parts() == [["\x03", "\udce9"], ["\x03", "a", "\udcff", "é", "é"]]
    assert glyphs.of_reserved(text.ids, vocabulary) == {0: "‹end›", 2: "‹end›"}


def test_only_the_first_items_of_a_long_list(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("ab\ncab\n" + "?" * 9)
    text = read_text(str(tmp_path / "t.txt"), ABC, TextRules(items=ItemRules("lines")), longest=6)
    assert (text.parts(), text.cut) == ([["\n", "a", "b"], ["\n", "c", "a"]], True)
    with pytest.raises(UnknownCharacterError, match=r"t\.txt: .*'\?'"):
        read_text(str(tmp_path / "t.txt"), ABC, TextRules(items=ItemRules("lines")))


def test_reserved_symbols_have_names() -> None:
    vocabulary = ABC.with_specials(["end", "label:\x1bham", "label:spam"])
    assert glyphs.of_vocabulary(vocabulary)[-3:] == ["‹end›", "‹\\x1bham›", "‹spam›"]
