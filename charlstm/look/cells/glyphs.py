"""Characters as something that can be seen, whatever they are."""

import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from charlstm.messages import printable
from charlstm.text.vocabulary import LABEL, Ids, Vocabulary

NAMES = {"\n": "↵", "\t": "→", " ": "␣", "\u00a0": "⍽", "\x7f": "␡"}


def label(character: str) -> str:
    """One that stands for itself, or a sign for a blank or a control character."""
    if character in NAMES:
        return NAMES[character]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as surrogateescape reads it
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.combining(character):
        return "◌" + character
    return character if character.isprintable() else f"U+{code:04X}"


def in_text(characters: Iterable[str]) -> list[str]:
    """Labels, but line breaks and blanks of all kinds as they are."""
    return [c if c == "\n" or is_blank(c) else label(c) for c in characters]


def is_blank(character: str) -> bool:
    """A space: the usual one, one that does not break, a thin one, ..."""
    return unicodedata.category(character) == "Zs"


def bytes_in_text(characters: Sequence[str]) -> list[str]:
    """As `in_text`, for characters repeated for each of their bytes: shown at the last one."""
    shown: list[str] = []
    while len(shown) < len(characters):
        character = characters[len(shown)]
        before = len(character.encode("utf-8", "surrogateescape")) - 1
        shown += [""] * before + in_text([character])
    return shown[: len(characters)]


def of_vocabulary(vocabulary: Vocabulary) -> list[str]:
    """The label of every id; bytes beyond ASCII as two hexadecimal digits."""
    reserved = (printable(symbol.removeprefix(LABEL)) for symbol in vocabulary.specials)
    return [*_of_characters(vocabulary), *(f"‹{name}›" for name in reserved)]


def of_reserved(ids: Ids, vocabulary: Vocabulary) -> dict[int, str]:
    """The labels of those of ``ids`` that are no characters, by place."""
    places = np.flatnonzero(ids >= len(vocabulary.code_points)).tolist()
    labels = of_vocabulary(vocabulary) if places else []
    return {place: labels[ids[place]] for place in places}


def _of_characters(vocabulary: Vocabulary) -> list[str]:
    if vocabulary.unit == "bytes":
        values = vocabulary.code_points.tolist()
        return [label(chr(code)) if code < 0x80 else f"\\x{code:02x}" for code in values]
    return [label(chr(code)) for code in vocabulary.code_points.tolist()]
