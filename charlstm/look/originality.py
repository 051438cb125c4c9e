"""How much of what a model writes it has copied from the text that it learned from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charlstm.from_config import text_rules_of
from charlstm.look.score import part_to_score, text_of
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.code_points import TextFiles, find_files
from charlstm.text.copies import BLOCK, NOWHERE, Copies, Copy, Texts, common_length, find_copies
from charlstm.text.encoding import codes_of
from charlstm.text.vocabulary import AnyIds, Ids, Vocabulary

LENGTHS = (20, 40, 80)
EXAMPLES = 5
LOOKED_AT = 200  # stretches of a length, which may be among the longest
UNKNOWN = -1
NAMED_BY = "charlstm originality MODEL --text TEXT"


@dataclass(frozen=True)
class Copying:
    """``shares[n]``: of the windows of n characters, those that stand in the training text; None if
    no text is so long. ``longest``: characters of the longest copy; None if below `LENGTHS`.
    """

    texts: int
    characters: int
    shares: dict[int, float | None]
    longest: int | None


@dataclass(frozen=True)
class Example:
    """A copy: ``length`` characters at ``start`` of text ``number``, which stand in the training
    text in ``file`` from ``line`` on; all from 1.
    """

    number: int
    start: int
    length: int
    text: str
    file: str
    line: int


@dataclass(frozen=True)
class Originality:
    """``held_out`` is the same of the validation part, which nobody can have copied: texts have
    phrases in common. None where a run has none.
    """

    samples: Copying
    held_out: Copying | None
    examples: tuple[Example, ...]


def originality(
    loaded: LoadedModel, texts: Sequence[str], moved_to: Sequence[Path] = ()
) -> Originality:
    """Look for ``texts`` in the model's training text, which may lie elsewhere by now.

    Raises `FileError` if it is not the one that the model was trained on.
    """
    samples = Texts([ids_of(text, loaded) for text in texts])
    yardstick = Texts(_held_out(loaded, samples, moved_to))
    train = part_to_score("train", loaded, moved_to, named_by=NAMED_BY).ids
    groups = [samples, yardstick] if len(yardstick.ids) else [samples]
    found = find_copies(train, groups, LENGTHS)
    copying = [_copying(copies) for copies in found]
    files = find_files(moved_to or loaded.config.data.files)
    return Originality(
        samples=copying[0],
        held_out=copying[1] if len(copying) > 1 else None,
        examples=tuple(
            _example(copy, samples, train, files, loaded)
            for copy in longest_copies(found[0], train)
        ),
    )


def ids_of(text: str, loaded: LoadedModel) -> NDArray[np.int64]:
    """Of a text that may have characters that no training text of the model has."""
    vocabulary, rules = loaded.vocabulary, text_rules_of(loaded.config)
    codes, known = codes_of(text, rules), vocabulary.code_points
    places = np.searchsorted(known[:-1], codes)
    stand_in = UNKNOWN
    if rules.replacement is not None and vocabulary.knows(rules.replacement):
        stand_in = int(vocabulary.encode(rules.replacement)[0])
    return np.where(known[places] == codes, places, stand_in)


def validation_is_known(loaded: LoadedModel, moved_to: Sequence[Path]) -> bool:
    """Files of its own that a checkpoint names are not read where its text had to be named."""
    data = loaded.config.data
    return data.validates and not (moved_to and data.validation_files)


def _held_out(loaded: LoadedModel, samples: Texts, moved_to: Sequence[Path]) -> list[AnyIds]:
    """As many pieces of the validation part as there are samples, and as long, from all over it."""
    if not validation_is_known(loaded, moved_to):
        return []
    text = part_to_score("validation", loaded, moved_to, named_by=NAMED_BY).ids
    length = max(1, len(samples.ids) // max(1, samples.number))
    number = min(samples.number, max(1, len(text) // length))
    starts = np.arange(number) * (max(0, len(text) - length) // max(1, number - 1))
    return [np.array(text[start : start + length]) for start in starts.tolist()]


def _copying(copies: Copies) -> Copying:
    return Copying(
        texts=copies.texts.number,
        characters=len(copies.texts.ids),
        shares={length: copies.share(length) for length in copies.places},
        longest=None if copies.longest is None else copies.longest.length,
    )


def longest_copies(copies: Copies, train: Ids) -> list[Copy]:
    """The longest first, none within another; each as far as the first place goes where its
    beginning stands.
    """
    found = [] if copies.longest is None else [copies.longest]
    for start, place in {pair for length in copies.places for pair in _stretches(copies, length)}:
        found.append(Copy(common_length(copies.texts, start, train, place), start, place))
    chosen: list[Copy] = []
    for copy in sorted(found, key=lambda copy: (-copy.length, copy.start, copy.place)):
        if len(chosen) < EXAMPLES and not any(_overlap(copy, other) for other in chosen):
            chosen.append(copy)
    return chosen


def _stretches(copies: Copies, length: int) -> Iterator[tuple[int, int]]:
    """Where windows of this length that follow each other in both texts begin: the longest such
    stretches.
    """
    places = copies.places[length]
    starts = copies.texts.windows(length)[places != NOWHERE]
    places = places[places != NOWHERE]
    begins = np.flatnonzero((np.diff(starts, prepend=-2) != 1) | (np.diff(places, prepend=-2) != 1))
    sizes = np.diff(begins, append=len(starts))
    for one in begins[np.argsort(-sizes, kind="stable")[:LOOKED_AT]].tolist():
        yield int(starts[one]), int(places[one])


def _overlap(copy: Copy, other: Copy) -> bool:
    return copy.start < other.start + other.length and other.start < copy.start + copy.length


def _example(
    copy: Copy, texts: Texts, train: Ids, files: Sequence[Path], loaded: LoadedModel
) -> Example:
    number, start = texts.place(copy.start)
    copied = train[copy.place : copy.place + copy.length]
    file, begins = _file_at(copy.place, files, loaded)
    return Example(
        number=number + 1,
        start=start + 1,
        length=copy.length,
        text=text_of(copied, loaded.vocabulary),
        file=str(file),
        line=1 + _line_feeds(train[begins : copy.place], loaded.vocabulary),
    )


def _line_feeds(ids: Ids, vocabulary: Vocabulary) -> int:
    if not vocabulary.knows("\n"):
        return 0
    line_feed = int(vocabulary.encode("\n")[0])
    blocks = (ids[start : start + BLOCK] for start in range(0, len(ids), BLOCK))
    return sum(int(np.count_nonzero(block == line_feed)) for block in blocks)


def _file_at(place: int, files: Sequence[Path], loaded: LoadedModel) -> tuple[Path, int]:
    """The file that holds a character of the text, and where that file begins."""
    begins, rules = 0, text_rules_of(loaded.config)
    for file in files[:-1]:
        characters = sum(map(len, TextFiles((file,), rules).blocks(sha256())))
        if place < begins + characters:
            return file, begins
        begins += characters
    return files[-1], begins
