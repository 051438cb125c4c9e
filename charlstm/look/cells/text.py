"""The text to look at: read as the model's corpus was, and cut where a page ends."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.look.cells.activations import ItemStarts
from charlstm.messages import show
from charlstm.text.code_points import TextFiles, TextRules
from charlstm.text.encoding import codes_of, codes_of_list, ids_of_list, read_stdin
from charlstm.text.vocabulary import Codes, Ids, UnknownCharacterError, Vocabulary

LONGEST = 20_000
STDIN = "-"
RESERVED = "\x03"
"""The control character that stands for a symbol that is no character."""


@dataclass(frozen=True)
class Text:
    """``characters[n]`` is what a reader sees of ``ids[n]``: of a bytes vocabulary, the whole
    character that the byte belongs to; of a reserved symbol, `RESERVED`. ``cut``: the file goes on.
    ``bytewise``: ids are bytes. ``items``: where they begin, if the text is a list.
    """

    name: str
    ids: Ids
    characters: list[str]
    cut: bool
    bytewise: bool = False
    items: ItemStarts | None = None

    def parts(self) -> list[list[str]]:
        """The characters of each item, what begins it among them; or all of them."""
        starts = [] if self.items is None else np.flatnonzero(self.items.begins).tolist()
        cuts = [0, *(start for start in starts if start), len(self.characters)]
        return [self.characters[start:stop] for start, stop in pairwise(cuts)]

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

    Raises `FileError`, and `UnknownCharacterError` for what the model has never seen.
    """
    name = "standard input" if source == STDIN else show(source)
    rules = replace(rules, unit=vocabulary.unit)
    codes = _first(_blocks(source, rules, vocabulary), longest + 1)
    cut, codes = len(codes) > longest, codes[:longest]
    if len(codes) < 2:
        raise FileError(f"{name}: a text of two characters or more is needed; found {len(codes)}")
    interpreted = _as_text if rules.items is None else _as_list
    text = Text(name, codes, [], cut, bytewise=vocabulary.unit == "bytes")
    try:
        return interpreted(text, vocabulary, rules)
    except UnknownCharacterError as error:
        raise error.told(where=name) from None


def _as_text(text: Text, vocabulary: Vocabulary, rules: TextRules) -> Text:
    """Of a text whose ids are code points still."""
    if text.bytewise:
        characters = _character_of_each_byte(text.ids.tobytes())
        return replace(text, ids=vocabulary.encode_codes(text.ids), characters=characters)
    whole = text.ids.astype("<u4").tobytes().decode("utf-32-le")
    if rules.replacement is not None and vocabulary.knows(rules.replacement):
        known = set(map(chr, vocabulary.code_points))
        whole = "".join(c if c in known else rules.replacement for c in whole)
    return replace(text, ids=vocabulary.encode(whole), characters=list(whole))


def _as_list(text: Text, vocabulary: Vocabulary, rules: TextRules) -> Text:
    """As `_as_text`, with marks where items begin."""
    assert rules.items is not None
    ids = ids_of_list(text.ids, vocabulary, rules)
    begins = np.isin(ids, rules.items.start_ids(vocabulary))
    items = ItemStarts(begins, rules.items.end_id(vocabulary))
    reserved = [ord(RESERVED)] * len(vocabulary.specials)
    shown = np.append(vocabulary.code_points, np.array(reserved, np.uint32))[ids]
    if text.bytewise:
        characters = _character_of_each_byte(shown.astype(np.uint8).tobytes())
    else:
        characters = list(map(chr, shown.tolist()))
    return replace(text, ids=ids, characters=characters, items=items)


def _blocks(source: str, rules: TextRules, vocabulary: Vocabulary) -> Iterator[Codes]:
    if source == STDIN:
        text = read_stdin(rules.unit)
        if rules.items is not None:
            return iter([codes_of_list(text, vocabulary, rules, rules.items)])
        return iter([codes_of(text, rules)])
    files = TextFiles((Path(source),), rules)
    files.found.settle(vocabulary.labels)
    return files.blocks(hashlib.sha256())


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
