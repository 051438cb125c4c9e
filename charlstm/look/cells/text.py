"""The text to look at: read as the model's corpus was, and cut where a page ends."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.text.code_points import TextFiles, TextRules
from charlstm.text.encoding import codes_of, read_stdin
from charlstm.text.vocabulary import Codes, Ids, UnknownCharacterError, Vocabulary

LONGEST = 20_000
STDIN = "-"


@dataclass(frozen=True)
class Text:
    """``characters[n]`` is what a reader sees of ``ids[n]``: of a bytes vocabulary, the whole
    character that the byte belongs to. ``cut``: the file goes on. ``bytewise``: ids are bytes.
    """

    name: str
    ids: Ids
    characters: list[str]
    cut: bool
    bytewise: bool = False

    def ends(self) -> NDArray[np.intp]:
        """The places where a character ends: of a bytes vocabulary, its last byte."""
        ends, place = [], 0
        while place < len(self.characters):
            place += len(_utf8(self.characters[place])) if self.bytewise else 1
            ends.append(min(place, len(self.characters)) - 1)
        return np.array(ends, np.intp)


def read_text(
    source: str, vocabulary: Vocabulary, rules: TextRules, longest: int = LONGEST
) -> Text:
    """A file's, or with ``-`` standard input's, first ``longest`` characters.

    A list is read as its model reads a text of it. Raises `FileError`, and `UnknownCharacterError`
    for what the model has never seen.
    """
    name = "standard input" if source == STDIN else show(source)
    rules = replace(rules, unit=vocabulary.unit)
    if rules.items is not None:
        rules = replace(rules, items=None)
        if vocabulary.specials:
            raise FileError(f"{name}: only items that are lines without labels can be looked at")
    codes = _first(_blocks(source, rules), longest + 1)
    cut, codes = len(codes) > longest, codes[:longest]
    if len(codes) < 2:
        raise FileError(f"{name}: a text of two characters or more is needed; found {len(codes)}")
    if vocabulary.unit == "bytes":
        characters = _character_of_each_byte(codes.tobytes())
        try:
            return Text(name, vocabulary.encode_codes(codes), characters, cut, bytewise=True)
        except UnknownCharacterError as error:
            raise UnknownCharacterError(error.code_points, name) from None
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    if rules.replacement is not None and vocabulary.knows(rules.replacement):
        known = set(map(chr, vocabulary.code_points))
        text = "".join(c if c in known else rules.replacement for c in text)
    try:
        return Text(name, vocabulary.encode(text), list(text), cut)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(error.code_points, name) from None


def _blocks(source: str, rules: TextRules) -> Iterator[Codes]:
    if source == STDIN:
        return iter([codes_of(read_stdin(rules.unit), rules)])
    return TextFiles((Path(source),), rules).blocks(hashlib.sha256())


def _first(blocks: Iterator[Codes], count: int) -> Codes:
    found: list[Codes] = []
    for block in blocks:
        found.append(block)
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count] if found else np.empty(0, np.uint32)


def _character_of_each_byte(data: bytes) -> list[str]:
    characters = data.decode("utf-8", "surrogateescape")
    return [c for c in characters for _ in _utf8(c)]


def _utf8(character: str) -> bytes:
    return character.encode("utf-8", "surrogateescape")
