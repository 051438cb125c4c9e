"""Texts that are no files, from a program or a pipe, encoded as those in files are."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlstm.errors import ConfigError, FileError
from charlstm.text.code_points import (
    AS_IT_IS,
    BYTE_ORDER_MARK,
    TextFiles,
    TextRules,
    find_files,
)
from charlstm.text.items import Items
from charlstm.text.marking import Found, ItemRules, marked
from charlstm.text.vocabulary import (
    LABEL,
    Codes,
    Ids,
    Unit,
    UnknownCharacterError,
    Vocabulary,
)


def read_stdin(unit: Unit) -> str:
    """All of standard input as text, see `decode_stream`."""
    return decode_stream(sys.stdin.buffer.read(), unit, "standard input")


def decode_stream(content: bytes, unit: Unit, where: str) -> str:
    """The text of bytes that came through a pipe. Raises `FileError` for invalid UTF-8.

    Of a model of bytes, any will do: what is no UTF-8 comes back as it was when it is encoded.
    """
    if unit == "bytes":
        return content.decode("utf-8", "surrogateescape")
    try:
        return content.decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise FileError(
            f"{where}: invalid UTF-8 at byte {error.start:,} (0x{content[error.start]:02x})"
        ) from None


def codes_of(text: str, rules: TextRules) -> Codes:
    """The code points (bytes, if the unit is bytes) of a text, as `TextFiles.blocks` gives them."""
    if rules.unit == "bytes":
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
    applied = "".join(rules.applied([text]))
    return np.frombuffer(applied.encode("utf-32-le", "surrogatepass"), "<u4")


def encode_string(text: str, vocabulary: Vocabulary, rules: TextRules = AS_IT_IS) -> Ids:
    """The ids that `corpus.encode_corpus` would give for a file with this text.

    Raises `UnknownCharacterError` unless the rules have a replacement that is known.
    """
    if vocabulary.unit == "bytes":
        return vocabulary.encode(text)
    codes = codes_of(text, replace(rules, unit="characters"))
    if rules.replacement is None or not vocabulary.knows(rules.replacement):
        return vocabulary.encode_codes(codes)
    stand_in = int(vocabulary.encode(rules.replacement)[0])
    return np.take(vocabulary.id_table(stand_in), codes, mode="clip")


def encode_list(text: str, vocabulary: Vocabulary, rules: TextRules, items: ItemRules) -> Ids:
    """The ids of a list in a text, as `list_in_files` gives them for one in a file."""
    return ids_of_list(codes_of_list(text, vocabulary, rules, items), vocabulary, rules)


def codes_of_list(text: str, vocabulary: Vocabulary, rules: TextRules, items: ItemRules) -> Codes:
    """As `codes_of`, with a mark where each item begins (`marking`)."""
    found = Found()
    found.settle(vocabulary.labels)
    if vocabulary.unit == "bytes":
        texts = [text.encode("utf-8", "surrogateescape").decode("latin-1")]
    else:
        texts = list(rules.applied([text]))
    stream = "".join(marked(texts, items, found))
    return np.frombuffer(stream.encode("utf-32-le", "surrogatepass"), "<u4")


def list_in_files(
    names: Sequence[Path], vocabulary: Vocabulary, rules: TextRules, items: ItemRules
) -> Ids:
    """The ids of a list with such items, labelled or not, in a vocabulary that has labels.

    Raises `UnknownCharacterError`, and `FileError` for what is no list.
    """
    rules = replace(rules, unit=vocabulary.unit, items=items)
    text = TextFiles(find_files(names), rules)
    text.found.settle(vocabulary.labels)
    blocks = list(text.blocks(hashlib.sha256()))
    try:
        return ids_of_list(np.concatenate(blocks), vocabulary, rules)
    except UnknownCharacterError as error:
        raise error.told(where=text.names()) from None


def ids_of_list(codes: Codes, vocabulary: Vocabulary, rules: TextRules) -> Ids:
    """What a model reads of the code points and marks of a list. Raises `UnknownCharacterError`."""
    unknown = codes[~np.isin(codes, vocabulary.codes)]
    stand_in = 0
    if rules.replacement is not None and vocabulary.knows(rules.replacement):
        stand_in = int(vocabulary.encode(rules.replacement)[0])
    elif len(unknown):
        raise UnknownCharacterError(list(dict.fromkeys(unknown.tolist())))
    return np.take(vocabulary.id_table(stand_in), codes, mode="clip")


def is_parted(text: str, items: ItemRules) -> bool:
    """Whether in a file it would be more than one item."""
    plain = items._replace(labels=False, in_bytes=False)
    return "".join(marked([text], plain, Found())).count(items.end) > 1


def encode_items(
    texts: Sequence[str],
    vocabulary: Vocabulary,
    rules: TextRules,
    items: ItemRules,
    label: str | None = None,
) -> Items:
    """Each of ``texts`` as one item, which may be empty; with labels, as one of ``label``.

    Raises `UnknownCharacterError`, `FileError` for a text that cannot be one item, `ConfigError`
    for one text in the place of a list.
    """
    if isinstance(texts, str):
        raise ConfigError("texts: a list of them is needed, found one")
    end = items.end_id(vocabulary)
    start = end if label is None else vocabulary.special(LABEL + label)
    found = [np.zeros(0, vocabulary.id_dtype)]
    for number, text in enumerate(texts, start=1):
        ids = encode_string(text, vocabulary, rules)
        if end in ids or is_parted(text, items):
            raise FileError(f"text {number:,}: holds what ends an item; those are two")
        found.append(np.concatenate([np.array([start], vocabulary.id_dtype), ids]))
    lengths = np.array([len(ids) for ids in found[1:]], np.int64)
    starts = lengths.cumsum() - lengths
    return Items(np.concatenate(found), starts.astype(np.uint64), lengths.astype(np.uint64), end)
