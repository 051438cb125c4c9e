"""Texts that are no files, from a program or a pipe, encoded as those in files are."""

import unicodedata

import numpy as np

from charlstm.errors import FileError
from charlstm.text.code_points import BYTE_ORDER_MARK, Newlines, Normalize
from charlstm.text.vocabulary import Ids, Unit, Vocabulary


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


def encode_string(
    text: str,
    vocabulary: Vocabulary,
    *,
    newlines: Newlines = "keep",
    normalize: Normalize = "none",
    replacement: str | None = None,
) -> Ids:
    """The ids that `corpus.encode_corpus` would give for a file with this text.

    Raises `UnknownCharacterError` unless there is a ``replacement``.
    """
    if vocabulary.unit == "characters":
        if newlines == "normalize":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if normalize == "NFC":
            text = unicodedata.normalize("NFC", text)
    if replacement is None or vocabulary.unit == "bytes":
        return vocabulary.encode(text)
    stand_in = int(vocabulary.encode(replacement)[0])
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return np.take(vocabulary.id_table(stand_in), codes, mode="clip")
