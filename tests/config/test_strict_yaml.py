"""What a config file's text means, and that no text does harm."""

import math
import time

import pytest

from charlstm.config.strict_yaml import MAX_SIZE, load, parse_scalar, parse_value
from charlstm.errors import ConfigError

ALIAS_BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)


def message_of(text):
    with pytest.raises(ConfigError) as caught:
        load(text, "config.yaml")
    return str(caught.value)


FACTS = {
    "1e-3": 1e-3,
    "1E3": 1e3,
    "-2.5e+4": -2.5e4,
    ".5": 0.5,
    "2.": 2.0,
    "0.0": 0.0,
    "2": 2,
    "-7": -7,
    "+7": 7,
    "0": 0,
    "10_000": 10_000,
    "1_234_567.5": 1_234_567.5,
    "1_0": "1_0",
    "2024_01": "2024_01",
    "017": "017",
    "0o17": "0o17",
    "0x1f": "0x1f",
    "00.5": "00.5",
    "12:30": "12:30",
    "1:30:00": "1:30:00",
    "2001-99-99": "2001-99-99",
    "yes": "yes",
    "no": "no",
    "on": "on",
    "off": "off",
    "y": "y",
    "true": True,
    "True": True,
    "FALSE": False,
    "~": None,
    "null": None,
    "": None,
    "e5": "e5",
    ".": ".",
    "-": "-",
    "1e": "1e",
    "nan": "nan",
    "inf": "inf",
    ".inf": math.inf,
    "-.INF": -math.inf,
    "1e999": math.inf,
    "9" * 40: int("9" * 40),
    "9" * 41: "9" * 41,
    "٣": "٣",  # a digit, but not one of ours
}


@pytest.mark.parametrize("text", FACTS)
def test_scalar_means_what_it_says(text):
    value = parse_scalar(text)
    assert (type(value), value) == (type(FACTS[text]), FACTS[text])


@pytest.mark.parametrize("text", [text for text in FACTS if text != "-"])
def test_file_and_scalar_agree(text):
    value = load(f"a: {text}\n", "c").values["a"]
    assert (type(value), value) == (type(FACTS[text]), FACTS[text])


def test_not_a_number():
    assert math.isnan(parse_scalar(".nan"))


@pytest.mark.parametrize("text", ['"2e-3"', "'2e-3'", "|-\n  2e-3", ">-\n  2e-3"])
def test_quoted_and_block_scalars_are_text(text):
    assert load(f"a: {text}", "c").values == {"a": "2e-3"}


def test_structure_and_lines():
    text = "# title\na: 1\n\nb:\n  c: [x, 2, [true]]\n  'd e': {f: null}\n  g:\n  - h: 1\n"
    document = load(text, "c")
    assert document.values == {
        "a": 1,
        "b": {"c": ["x", 2, [True]], "d e": {"f": None}, "g": [{"h": 1}]},
    }
    lines = {".".join(key): line for key, line in document.lines.items()}
    assert lines == {"a": 2, "b": 4, "b.c": 5, "b.d e": 6, "b.d e.f": 6, "b.g": 7, "b.g.0.h": 8}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null", "~", b"\xef\xbb\xbf"])
def test_empty_document(text):
    assert load(text, "c").values == {}


def test_keys_are_text():
    assert load("1: a\ntrue: b\n2e3: c\n", "c").values == {"1": "a", "true": "b", "2e3": "c"}


@pytest.mark.parametrize("text", ["\ufeffa: 1\n", b"\xef\xbb\xbfa: 1\n", b"a: 1\r\n", "a: 1\r"])
def test_byte_order_mark_and_line_ends(text):
    assert load(text, "c").values == {"a": 1}


def test_surrogate_pairs_are_joined():
    assert load(r'a: "\ud83d\ude00 é"', "c").values == {"a": "😀 é"}


REFUSED = {
    "a: 1\nb: 2\n a: 3": "config.yaml:3:3: a colon in an unexpected place",
    "a: 1\nb: 2\na: 3": "config.yaml:3:1: 'a' is given twice, first in line 1",
    "g:\n  a: 1\n  a: 1": "config.yaml:3:3: 'a' is given twice, first in line 2",
    "{a: 1, 'a': 2}": "config.yaml:1:8: 'a' is given twice, first in line 1",
    "a: 1\n---\nb: 2": "config.yaml:2:1: a second document",
    "a:\n\tb: 1": "config.yaml:2:1: indented with a tab; use spaces",
    "files: *.txt": "config.yaml:1:9: text that begins with * needs quotes",
    "a: &x 1\nb: 2": "config.yaml:1:4: anchors are not read",
    "a: &a [*a]": "config.yaml:1:4: anchors are not read",
    "a: *x": "config.yaml:1:4: aliases are not read",
    "<<: {a: 1}": "config.yaml:1:1: merge keys",
    "a: !!python/object/apply:os.system [ls]": "config.yaml:1:4: tags are not read",
    "a: !!str 5": "config.yaml:1:4: tags are not read",
    "a: ! 5": "config.yaml:1:4: tags are not read",
    "!!map {a: 1}": "config.yaml:1:1: tags are not read",
    "? [a]\n: 1": "config.yaml:1:3: the name of a setting must be plain text",
    "- 1": "config.yaml: expected lines such as",
    "just text": "config.yaml: expected lines such as",
    "5": "config.yaml: expected lines such as",
    "a: b: c": "config.yaml:1:5: a colon in an unexpected place",
    "a: [1, 2": "config.yaml:1:9: not YAML: ",
    "a: 'x": "config.yaml:1:6: not YAML: ",
    "a: @x": "config.yaml:1:4: not YAML: ",
    "a: 1\nb: \x07": "config.yaml:2:4: the character U+0007 is not allowed",
    "a: \x1b[31m": "config.yaml:1:4: the character U+001B is not allowed",
    "a: \ud800": "config.yaml:1:4: the character U+D800 is not allowed",
    r'a: "\ud83d"': "config.yaml:1:4: not valid Unicode text: ",
    r'a: "\U00110000"': "config.yaml: not YAML: a number is out of range",
    r'a: "\Uffffffff"': "config.yaml: not YAML: a number is out of range",
    "%YAML 1." + "9" * 5000 + "\n---\na: 1": "config.yaml: not YAML: a number is out of range",
    "a: " + "[" * 1000: "config.yaml:1:19: nested too deeply",
    "a: [" + "1," * 30_000 + "]": "config.yaml:1:",
    b"a: 1\nb: \xff": "config.yaml:2: not valid UTF-8 at byte offset 8 (0xff)",
    b"\xef\xbb\xbfa: \xe9": "config.yaml:1: not valid UTF-8 at byte offset 6 (0xe9)",
    b"\xed\xa0\x80: 1": "config.yaml:1: not valid UTF-8 at byte offset 0",
    "a: 1".encode("utf-16"): "config.yaml: is UTF-16 or UTF-32",
    "a: 1".encode("utf-16-be"): "config.yaml:1:1: the character U+0000 is not allowed",
    "a: 1".encode("utf-32"): "config.yaml: is UTF-16 or UTF-32",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text)[:30])
def test_refused_with_its_place(text):
    message = message_of(text)
    assert message.startswith(REFUSED[text])
    assert len(message) <= 300
    assert message.isprintable()


def test_depth_and_number_of_values_have_room_for_real_files():
    deep = load("a: " + "[" * 15 + "]" * 15, "c").values["a"]
    assert str(deep) == "[" * 15 + "]" * 15
    assert len(load("a:\n" + "- x.txt\n" * 15_000, "c").values["a"]) == 15_000


def test_file_name_cannot_spoil_the_message():
    with pytest.raises(ConfigError) as caught:
        load("a: [", "x" * 500 + "\x1b[31m\n\u202e.yaml")
    message = str(caught.value)
    assert message.startswith("...xxx")
    assert message.isprintable()
    assert len(message) <= 300


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (ALIAS_BOMB, 0.05),
        ("a: 1\n" * 2_000_000, 0.05),
        (b"\xff" * 10_000_000, 0.05),
        ("a: " + "[" * (MAX_SIZE - 3), 1),
        ("&a " * 300_000, 0.05),
    ],
    ids=["alias bomb", "10 MB", "10 MB of no text", "brackets", "anchors"],
)
def test_refused_quickly(text, limit):
    started = time.process_time()
    message_of(text)
    assert time.process_time() - started < limit


def test_largest_file_is_read():
    text = "a: 1\n#"
    assert load(text + "x" * (MAX_SIZE - len(text)), "c").values == {"a": 1}
    assert "larger than 1,000,000 bytes" in message_of(text + "x" * (MAX_SIZE + 1 - len(text)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("", None),
        (" ", " "),
        ("a: b #c", "a: b #c"),
        ("*.txt", "*.txt"),
        ("&a", "&a"),
        ("[a.txt, 'b c.txt', 3]", ["a.txt", "b c.txt", 3]),
        ('"5"', "5"),
        ("'it''s'", "it's"),
        ("é", "é"),
    ],
)
def test_value_on_the_command_line(text, value):
    assert parse_value(text, "override") == value


@pytest.mark.parametrize("text", ["[a", "'x", '"', "[a]*.txt", "[&a x, *a]", "\udcff", "['\x07']"])
def test_bad_value_on_the_command_line(text):
    with pytest.raises(ConfigError, match=r"\Aoverride:"):
        parse_value(text, "override")
