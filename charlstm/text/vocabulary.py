"""Vocabulary: which characters (or bytes) a model knows, and their numbers.

Text becomes ids through one lookup table and comes back through another, so no Python object is
made per character.
"""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError

Unit = Literal["characters", "bytes"]
Unsigned = np.unsignedinteger[Any]
Ids = NDArray[Unsigned]
AnyIds = NDArray[np.integer[Any]]
Codes = NDArray[Unsigned]
CodePoints = NDArray[np.uint32]

LAST_CODE_POINT = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)  # half characters: they exist in UTF-16 only, never in a text
NAMED_AT_MOST = 5
LINE_FEED = 10

END = "end"
LABEL = "label:"
MARK = SURROGATES[0]  # stands for the first reserved symbol in a stream of code points
MOST_LABELS = 1000


class UnknownCharacterError(FileError):
    """A text holds characters that the vocabulary lacks; the first few are named.

    ``code_points`` holds all of them; ``where`` (a file name, say) opens the message, and
    ``advice`` ends it.
    """

    def __init__(self, code_points: Sequence[int], where: str = "", advice: str = "") -> None:
        self.code_points, self.where = list(code_points), where
        place, end = (f"{where}: " if where else ""), (f"; {advice}" if advice else "")
        super().__init__(f"{place}not in the vocabulary: {named(self.code_points)}{end}")

    def told(self, *, where: str = "", advice: str = "") -> "UnknownCharacterError":
        """The same, by those who know more of it."""
        return UnknownCharacterError(self.code_points, where or self.where, advice)


def named(code_points: Sequence[int]) -> str:
    """The first few characters as a reader knows them, and how many more there are."""
    first = [f"{chr(code)!r} (U+{code:04X})" for code in code_points[:NAMED_AT_MOST]]
    unnamed = len(code_points) - len(first)
    return ", ".join(first) + (f" and {unnamed} more" if unnamed else "")


class Vocabulary:
    """Characters sorted by code point; a character's id is its place in that order.

    Sorting makes the ids a function of the set of characters alone, whatever order they were met
    in. ``code_points`` is an array of uint32, strictly increasing.

    ``specials`` are reserved symbols, by name, whose ids follow those of the characters: what
    begins or ends an item (``end``, or ``label:spam``). No text reads as one, and none is written.
    """

    unit: Unit = "characters"

    def __init__(self, code_points: CodePoints, specials: Sequence[str] = ()) -> None:
        _check_code_points(code_points)
        _check_specials(specials)
        self.code_points = code_points
        self.specials = tuple(specials)

    @classmethod
    def of_characters(cls, code_points: Iterable[int] | CodePoints) -> "Vocabulary":
        """The vocabulary of these code points, in any order, repeated or not."""
        codes = np.fromiter(code_points, dtype=np.int64)
        if codes.size and (codes.min() < 0 or codes.max() > LAST_CODE_POINT):
            raise FileError("vocabulary: a code point outside Unicode (U+0000 to U+10FFFF)")
        return Vocabulary(np.unique(codes).astype(np.uint32))

    @staticmethod
    def of_bytes(values: Iterable[int] | CodePoints = range(256)) -> "Vocabulary":
        """All byte values cover anything at all, in any encoding; or these of them only."""
        return ByteVocabulary(np.unique(np.fromiter(values, np.uint32)))

    @staticmethod
    def from_array(
        array: NDArray[Any], unit: Unit = "characters", specials: Sequence[str] = ()
    ) -> "Vocabulary":
        """Restore what `to_array` gave; a damaged or hostile array raises `FileError`."""
        if array.dtype != np.uint32:
            raise FileError(f"vocabulary: expected uint32 code points, found {array.dtype}")
        return (ByteVocabulary if unit == "bytes" else Vocabulary)(array.copy(), specials)

    def with_specials(self, specials: Sequence[str]) -> "Vocabulary":
        """The same characters, and these reserved symbols in the place of others."""
        return type(self)(self.code_points, specials)

    def to_array(self) -> CodePoints:
        """A copy of the code points, for checkpoints (which store `unit` and `specials` too)."""
        return self.code_points.copy()

    def ids_in(self, larger: "Vocabulary") -> NDArray[np.intp]:
        """``(size,)``: of each symbol, the id that it has in a vocabulary with all of them."""
        specials = [larger.special(name) for name in self.specials]
        return np.append(larger.encode_codes(self.code_points), specials).astype(np.intp)

    def knows(self, character: str) -> bool:
        return ord(character) in self.code_points

    @property
    def size(self) -> int:
        """Of a model's input and output: characters and reserved symbols."""
        return len(self.code_points) + len(self.specials)

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that items of this vocabulary have, sorted."""
        return tuple(name.removeprefix(LABEL) for name in self.specials if name != END)

    @property
    def codes(self) -> CodePoints:
        """What each id is in a stream of code points: ``(size,)``, marks for reserved symbols."""
        marks = np.arange(MARK, MARK + len(self.specials), dtype=np.uint32)
        return np.concatenate([self.code_points, marks])

    def special(self, name: str) -> int:
        """The id of a reserved symbol. Raises `FileError` if there is no such one."""
        if name not in self.specials:
            raise FileError(f"the vocabulary has no symbol {name!r}")
        return len(self.code_points) + self.specials.index(name)

    @property
    def id_dtype(self) -> np.dtype[Unsigned]:
        """The smallest unsigned integer that holds every id: uint8 up to 256 characters."""
        return np.min_scalar_type(self.size - 1)

    def encode(self, text: str, *, skip_unknown: bool = False) -> Ids:
        """Ids of ``text``, one per character (or byte), of type `id_dtype`.

        Raises `UnknownCharacterError`, or leaves unknown characters out with ``skip_unknown``.
        """
        return self.encode_codes(self._codes(text), skip_unknown=skip_unknown)

    def encode_codes(self, codes: Codes, *, skip_unknown: bool = False) -> Ids:
        """As `encode`, for code points (or bytes)."""
        ids = np.take(self._id_of_code, codes, mode="clip")
        unknown = ids < 0
        if unknown.any():
            if not skip_unknown:
                raise UnknownCharacterError(_in_order_of_appearance(codes[unknown]))
            ids = ids[~unknown]
        return ids.astype(self.id_dtype)

    def decode(self, ids: AnyIds, errors: str = "replace") -> str:
        """The text of ``ids``; bytes that are no UTF-8 become U+FFFD, or what ``errors`` says."""
        return self.to_bytes(ids).decode("utf-8", errors)

    def to_bytes(self, ids: AnyIds) -> bytes:
        """The text of ``ids`` as UTF-8; of a bytes vocabulary, the very bytes. Reserved symbols
        write nothing.
        """
        utf32: bytes = self._codes_of(ids).astype("<u4").tobytes()
        return utf32.decode("utf-32-le").encode("utf-8")

    def decoder(self, errors: str = "replace") -> "Decoder":
        """For text that is made piece by piece; ``errors`` as in `bytes.decode`."""
        return Decoder(self, errors)

    def default_start(self) -> Ids:
        """What to read before a text without a prompt: the end of another item, a line end, or else
        the first character.
        """
        if END in self.specials:
            return np.array([self.special(END)], self.id_dtype)
        if LINE_FEED in self.code_points:
            return self.encode(chr(LINE_FEED))
        return np.zeros(1, self.id_dtype)

    def id_table(self, unknown: int = 0) -> Ids:
        """Table from code point to id, for `numpy.take` with ``mode="clip"``.

        The last entry stands for every code point beyond the vocabulary; it and the gaps hold
        ``unknown``. From `MARK` on, where no character is, stand the reserved symbols.
        """
        table = self._id_of_code
        if self.specials:
            stop = MARK + len(self.specials)
            table = np.append(table[:-1], np.full(max(1, stop + 2 - len(table)), -1, np.int32))
            table[MARK:stop] = np.arange(len(self.code_points), self.size)
        return np.where(table < 0, unknown, table).astype(self.id_dtype)

    @cached_property
    def _id_of_code(self) -> NDArray[np.int32]:
        table = np.full(int(self.code_points[-1]) + 2, -1, dtype=np.int32)
        table[self.code_points] = np.arange(len(self.code_points), dtype=np.int32)
        return table

    def _codes_of(self, ids: AnyIds) -> CodePoints:
        if self.specials:
            ids = ids[ids < len(self.code_points)]
        return self.code_points[ids]

    def _codes(self, text: str) -> Codes:
        return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and self.unit == other.unit
            and self.specials == other.specials
            and np.array_equal(self.code_points, other.code_points)
        )

    def __hash__(self) -> int:
        return hash((self.unit, self.specials, self.code_points.tobytes()))


class ByteVocabulary(Vocabulary):
    """All 256 byte values, whose ids are these values; or some of them."""

    unit: Unit = "bytes"

    def __init__(self, code_points: CodePoints, specials: Sequence[str] = ()) -> None:
        super().__init__(code_points, specials)
        if code_points[-1] > 255:
            raise FileError(f"vocabulary: {code_points[-1]} is no value of a byte")

    def to_bytes(self, ids: AnyIds) -> bytes:
        return self._codes_of(ids).astype(np.uint8).tobytes()

    def _codes(self, text: str) -> Codes:
        try:  # surrogateescape: bytes on the command line that are no UTF-8 come back as they were
            return np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype=np.uint8)
        except UnicodeEncodeError as error:
            raise UnknownCharacterError([ord(text[error.start])]) from None


class Decoder:
    """Ids to text, piece by piece: a character whose bytes are not all there yet is held back."""

    def __init__(self, vocabulary: Vocabulary, errors: str = "replace") -> None:
        self._vocabulary = vocabulary
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors)

    def decode(self, ids: AnyIds, *, final: bool = False) -> str:
        """The text that ``ids`` completes; ``final`` gives out what is held back, as U+FFFD."""
        return self._utf8.decode(self._vocabulary.to_bytes(ids), final)


def until(stop: str | None, pieces: Iterable[str]) -> Iterator[str]:
    """The pieces up to the first place where their text reads ``stop``, which is left out.

    What may be the beginning of ``stop`` is held back until it is known.
    """
    if not stop:
        yield from pieces
        return
    held = ""
    for piece in pieces:
        held += piece
        place = held.find(stop)
        if place >= 0:
            yield held[:place]
            return
        keep = next(n for n in range(len(stop) - 1, -1, -1) if held.endswith(stop[:n]))
        yield held[: len(held) - keep]
        held = held[len(held) - keep :]
    yield held


def _check_code_points(code_points: CodePoints) -> None:
    if code_points.ndim != 1 or code_points.size == 0:
        raise FileError(f"vocabulary: expected a list of characters, found {code_points.shape}")
    if np.any(code_points[1:] <= code_points[:-1]):
        raise FileError("vocabulary: characters are not in strictly increasing order")
    if code_points[-1] > LAST_CODE_POINT:
        raise FileError("vocabulary: a code point outside Unicode (U+0000 to U+10FFFF)")
    first, last = SURROGATES
    if np.any((code_points >= first) & (code_points <= last)):
        raise FileError("vocabulary: surrogates (U+D800 to U+DFFF) are not characters")


def _check_specials(names: Sequence[str]) -> None:
    labels = names[1:] if list(names[:1]) == [END] else names
    if len(labels) > MOST_LABELS or any(not name.startswith(LABEL) for name in labels):
        raise FileError(f"vocabulary: reserved symbols are {END!r}, then at most 1,000 labels")
    if list(labels) != sorted(set(labels)):
        raise FileError("vocabulary: its labels are not sorted, or one occurs twice")


def _in_order_of_appearance(codes: Codes) -> list[int]:
    values, first_places = np.unique(codes, return_index=True)
    return [int(code) for code in values[np.argsort(first_places)]]
