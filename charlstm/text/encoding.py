"""Texts that are no files, from a program or a pipe, encoded as those in files are."""

import sys
from dataclasses import replace

import numpy as np

from charlstm.errors import FileError
from charlstm.text.code_points import AS_IT_IS, BYTE_ORDER_MARK, TextRules
from charlstm.text.vocabulary import Codes, Ids, Unit, Vocabulary


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
