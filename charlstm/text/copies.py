"""What of some texts stands word for word in another, long one: windows of some lengths, and the
longest stretch. Memory is for the texts and a block of the long one, which is read once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import AnyIds, Ids
from charlstm.text.window_hashes import Hashes, WindowHashes

BLOCK = 1 << 17  # characters of the long text that are looked through at a time
BITS_A_WINDOW = 4  # in the size of a sieve: one window in 16 to 32 passes by chance
USUAL_LENGTH = 128
TRIED = 100  # copies in a block, to see which is the longest
NOWHERE = -1

Places = NDArray[np.int64]
NONE = np.zeros(0, np.int64)


class Texts:
    """Texts to look for, one after the other as ``ids``; no window reaches from one to the next."""

    def __init__(self, texts: Sequence[AnyIds]) -> None:
        lengths = np.array([len(text) for text in texts], np.int64)
        self.ids = np.concatenate([np.zeros(0, np.int64), *texts])
        self.ends = np.cumsum(lengths)
        self.starts = self.ends - lengths
        self.left = np.repeat(self.ends, lengths) - np.arange(len(self.ids))
        """``(characters,)``: how many there are from each on to the end of its text."""
        self.hashes = WindowHashes(self.ids)

    @property
    def number(self) -> int:
        return len(self.ends)

    def windows(self, length: int) -> Places:
        """Where the windows of this length begin."""
        return np.flatnonzero(self.left >= length)

    def hashes_of_windows(self, length: int) -> Hashes:
        return self.hashes.of(length)[self.windows(length)]

    def place(self, start: int) -> tuple[int, int]:
        """Of a character: the number of its text, and its place in that."""
        number = int(np.searchsorted(self.ends, start, side="right"))
        return number, start - int(self.starts[number])


@dataclass(frozen=True)
class Copy:
    """``length`` characters, at ``start`` in the texts and at ``place`` in the long one."""

    length: int
    start: int
    place: int


@dataclass
class Copies:
    """What was found. ``places[length]``: for each of ``texts.windows(length)`` the first place in
    the long text where it stands, or `NOWHERE`.
    """

    texts: Texts
    places: dict[int, Places] = field(default_factory=dict)
    longest: Copy | None = None

    def share(self, length: int) -> float | None:
        """Of the windows of this length that were found; None where there are none at all."""
        places = self.places[length]
        return float((places != NOWHERE).mean()) if len(places) else None


def find_copies(
    text: Ids | MappedIds, groups: Sequence[Texts], lengths: Sequence[int]
) -> list[Copies]:
    """What of each group stands in ``text``: windows of these ``lengths``, and the longest copy
    that is not shorter than the shortest of them.
    """
    shortest = min(lengths)
    sieve = _Sieve(np.concatenate([group.hashes_of_windows(shortest) for group in groups]))
    windows = [[_Windows(group, length) for length in lengths] for group in groups]
    longest = [_Longest(group, shortest) for group in groups]
    start = 0
    while start < len(text):
        number = max(BLOCK, *(search.wanted for search in longest))
        block = _Block(text, start, number)
        block.candidates = sieve.passing(block.hashes(shortest))
        for sought in chain.from_iterable(windows):
            sought.look(block)
        for search in longest:
            search.look(block)
        start += number
    return [
        Copies(group, {one.length: one.all_places() for one in found}, search.best)
        for group, found, search in zip(groups, windows, longest, strict=True)
    ]


class _Sieve:
    """Lets pass all hashes of a set and few others, by the leading bits of each."""

    def __init__(self, hashes: Hashes) -> None:
        bits = max(8, len(hashes).bit_length() + BITS_A_WINDOW)
        self._shift = np.uint64(64 - bits)
        self._passes = np.zeros(1 << bits, np.bool_)
        self._passes[self._rows(hashes)] = True

    def passing(self, hashes: Hashes) -> Places:
        """The places of those that pass."""
        return np.flatnonzero(self._passes[self._rows(hashes)])

    def _rows(self, hashes: Hashes) -> NDArray[np.int64]:
        return (hashes >> self._shift).view(np.int64)


class _Block:
    """Some characters of the long text, and as many after them as a window needs.

    ``candidates``: the places where a window may begin that is looked for.
    """

    candidates = NONE

    def __init__(self, text: Ids | MappedIds, start: int, number: int) -> None:
        self.text, self.start, self.number = text, start, number
        self._read(USUAL_LENGTH)

    def _read(self, more: int) -> None:
        self.ids = np.asarray(self.text[self.start : self.start + self.number + more])
        self._more, self._hashes = more, WindowHashes(self.ids)

    def hashes(self, length: int) -> Hashes:
        """Of the windows that begin in this block."""
        if length > self._more + 1:
            self._read(2 * length)
        return self._hashes.of(length)[: self.number]


class _Windows:
    """The windows of one length, and where they were found."""

    def __init__(self, texts: Texts, length: int) -> None:
        self.texts, self.length = texts, length
        starts = texts.windows(length)
        self._hashes, first = np.unique(texts.hashes.of(length)[starts], return_index=True)
        self.starts = starts[first]
        self._places = np.full(len(first), NOWHERE, np.int64)
        self._sift()

    def _sift(self) -> None:
        """What is found need not be found again, which counts where much is."""
        missing = self._places == NOWHERE
        self._sieve = _Sieve(self._hashes[missing])
        self._missing, self._found_since = np.count_nonzero(missing), 0

    def look(self, block: _Block) -> None:
        numbers, places = self.found_in(block)
        self._places[numbers] = places + block.start
        self._found_since += len(numbers)
        if self._found_since > self._missing // 8:
            self._sift()

    def found_in(self, block: _Block) -> tuple[Places, Places]:
        """Numbers of windows not found before, and where each begins first in the block."""
        if not self._missing:
            return NONE, NONE
        hashes = block.hashes(self.length)
        places = block.candidates[: np.searchsorted(block.candidates, len(hashes))]
        places = places[self._sieve.passing(hashes[places])]
        numbers = np.searchsorted(self._hashes[:-1], hashes[places])
        right = self._hashes[numbers] == hashes[places]
        right &= self._places[numbers] == NOWHERE
        numbers, first = np.unique(numbers[right], return_index=True)
        places = places[right][first]
        same = self._same_characters(block, numbers, places)
        return numbers[same], places[same]

    def _same_characters(self, block: _Block, numbers: Places, places: Places) -> NDArray[np.bool_]:
        """Hashes can be equal by chance; what is reported is not."""
        same = np.ones(len(numbers), np.bool_)
        for offset in range(self.length):
            ours = self.texts.ids[self.starts[numbers] + offset]
            same &= ours == block.ids[places + offset]
        return same

    def all_places(self) -> Places:
        """Of every window, in the order of the texts."""
        hashes = self.texts.hashes_of_windows(self.length)
        return self._places[np.searchsorted(self._hashes, hashes)]


class _Longest:
    """The longest copy so far: whatever is looked for is one character longer."""

    def __init__(self, texts: Texts, shortest: int) -> None:
        self.best: Copy | None = None
        self._windows = _Windows(texts, shortest)

    @property
    def wanted(self) -> int:
        return self._windows.length

    def look(self, block: _Block) -> None:
        while True:
            numbers, places = self._windows.found_in(block)
            if not len(numbers):
                return
            some = slice(None, None, -(-len(numbers) // TRIED))
            starts = self._windows.starts[numbers[some]]
            texts = self._windows.texts
            self.best = max(
                (
                    Copy(common_length(texts, start, block.text, place), start, place)
                    for start, place in zip(
                        starts.tolist(), (places[some] + block.start).tolist(), strict=True
                    )
                ),
                key=attrgetter("length"),
            )
            self._windows = _Windows(texts, self.best.length + 1)


def common_length(texts: Texts, start: int, text: Ids | MappedIds, place: int) -> int:
    """How many characters are the same from there on."""
    limit = min(int(texts.left[start]), len(text) - place)
    length = 0
    while length < limit:
        step = min(limit - length, max(64, length))
        ours = texts.ids[start + length : start + length + step]
        theirs = np.asarray(text[place + length : place + length + step])
        differing = np.flatnonzero(ours != theirs)
        if len(differing):
            return length + int(differing[0])
        length += step
    return length
