"""The text to look at: read as the model's corpus was, and cut where a page ends."""

import hashlib
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charlstm.errors import FileError
from charlstm.from_config import EncodingOptions
from charlstm.messages import show
from charlstm.text.code_points import Codes, TextFiles
from charlstm.text.vocabulary import Ids, UnknownCharacterError, Vocabulary

LONGEST = 20_000
STDIN = "-"


@dataclass(frozen=True)
class Text:
    """``characters[n]`` is what a reader sees of ``ids[n]``: of a bytes vocabulary, the whole
    character that the byte belongs to. ``cut``: the file goes on.
    """

    name: str
    ids: Ids
    characters: list[str]
    cut: bool


def read_text(
    source: str, vocabulary: Vocabulary, options: EncodingOptions, longest: int = LONGEST
) -> Text:
    """A file's, or with ``-`` standard input's, first ``longest`` characters.

    Raises `FileError`, and `UnknownCharacterError` for what the model has never seen.
    """
    name = "standard input" if source == STDIN else show(source)
    blocks = _stdin(vocabulary, options) if source == STDIN else _file(source, vocabulary, options)
    codes = _first(blocks, longest + 1)
    cut, codes = len(codes) > longest, codes[:longest]
    if len(codes) < 2:
        raise FileError(f"{name}: a text of two characters or more is needed; found {len(codes)}")
    if vocabulary.unit == "bytes":
        return Text(name, codes.astype(np.uint8), _character_of_each_byte(codes.tobytes()), cut)
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    if options["replacement"] is not None:
        known = set(map(chr, vocabulary.code_points))
        text = "".join(c if c in known else options["replacement"] for c in text)
    try:
        return Text(name, vocabulary.encode(text), list(text), cut)
    except UnknownCharacterError as error:
        raise UnknownCharacterError(error.code_points, name) from None


def _first(blocks: Iterator[Codes], count: int) -> Codes:
    found: list[Codes] = []
    for block in blocks:
        found.append(block)
        if sum(map(len, found)) >= count:
            break
    return np.concatenate(found)[:count] if found else np.empty(0, np.uint32)


def _file(source: str, vocabulary: Vocabulary, options: EncodingOptions) -> Iterator[Codes]:
    files = TextFiles((Path(source),), vocabulary.unit, options["newlines"], options["normalize"])
    return files.blocks(hashlib.sha256())


def _stdin(vocabulary: Vocabulary, options: EncodingOptions) -> Iterator[Codes]:
    data = sys.stdin.buffer.read()
    if vocabulary.unit == "bytes":
        yield np.frombuffer(data, np.uint8)
        return
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"standard input: invalid UTF-8 at byte {error.start:,}") from None
    if options["newlines"] == "normalize":
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if options["normalize"] == "NFC":
        text = unicodedata.normalize("NFC", text)
    yield np.frombuffer(text.encode("utf-32-le"), "<u4")


def _character_of_each_byte(data: bytes) -> list[str]:
    characters = data.decode("utf-8", "surrogateescape")
    return [c for c in characters for _ in c.encode("utf-8", "surrogateescape")]
