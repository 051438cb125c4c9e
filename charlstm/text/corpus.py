"""A corpus: text files as one array of ids, with the vocabulary they were encoded with.

Files are read twice in blocks, once to count characters and once to encode them, so that a text
costs what its ids cost: one byte a character up to 256 different ones. The ids of a long text can
be kept in a file (see `cache`); then it is read once and for all, and takes no memory.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import ConfigError, FileError
from charlstm.messages import shorten
from charlstm.text.cache import CorpusCache, Encoding, Place
from charlstm.text.code_points import AS_IT_IS, TextFiles, TextRules, find_files
from charlstm.text.known_entropy import KnownEntropy, read_known_entropy, sidecar_of
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.marking import Found
from charlstm.text.vocabulary import (
    LAST_CODE_POINT,
    SURROGATES,
    Ids,
    UnknownCharacterError,
    Vocabulary,
)

REPLACEMENT = "\ufffd"
COMPARED = 1 << 16  # characters of a text that is recalled


@dataclass(frozen=True)
class Corpus:
    """An encoded text.

    ``ids`` is ``(characters,)`` of the vocabulary's `id_dtype`, in memory or mapped; ``sha256`` is
    the hash of the files' bytes in order (unpacked), whatever their names; ``warnings`` are lines
    for the user.
    """

    ids: Ids | MappedIds
    vocabulary: Vocabulary
    sha256: str
    files: tuple[Path, ...]
    known_entropy: KnownEntropy | None = None
    warnings: tuple[str, ...] = ()

    @property
    def characters(self) -> int:
        return len(self.ids)

    def names(self) -> str:
        """For messages."""
        return TextFiles(self.files).names()

    def source_bits_per_character(self, start: int, stop: int) -> float | None:
        """Entropy of the text's source between two offsets; None where it is not known."""
        if self.known_entropy is None:
            return None
        return self.known_entropy.bits_per_character(start, stop)


def read_corpus(
    files: Sequence[str | Path],
    rules: TextRules = AS_IT_IS,
    *,
    min_count: int = 1,
    observed_bytes: bool = False,
    known: Vocabulary | None = None,
    cache: CorpusCache | None = None,
) -> Corpus:
    """Encode files (paths and globs) with a vocabulary of their own characters and those ``known``.

    Characters that occur fewer than ``min_count`` times become the rules' replacement, or U+FFFD.
    Bytes are all 256 or, if so told, those of the text.
    A long text is kept in ``cache``. Raises `FileError` for what cannot be read, `ConfigError` for
    settings that contradict.
    """
    bytewise = rules.unit == "bytes"
    if bytewise and (rules.newlines != "keep" or rules.normalize != "none" or min_count > 1):
        raise ConfigError(
            "data: unit=bytes keeps every byte as it is;"
            " newlines, normalize and min_count must stay at their defaults"
        )

    replacement = REPLACEMENT if rules.replacement is None else rules.replacement

    text = TextFiles(find_files(files), rules)

    def choose(survey: _Survey) -> _Choice:
        counts = _of_characters(text, survey)
        specials = _specials(text, known)
        if bytewise:
            values = np.flatnonzero(counts) if observed_bytes else np.arange(256)
            vocabulary = Vocabulary.of_bytes(_and_those(known, values))
            return _Choice(vocabulary.with_specials(specials), None)
        kept, stand_in = _and_those(known, np.flatnonzero(counts >= max(min_count, 1))), None
        if len(_without(kept, counts)):
            stand_in = _code_of(replacement)
            kept = np.append(kept, stand_in)
        return _Choice(Vocabulary.of_characters(kept).with_specials(specials), stand_in)

    recipe: dict[str, str | int | None] = {"min_count": min_count}
    recipe["replacement"] = replacement if min_count > 1 else None
    if observed_bytes:
        recipe["observed_bytes"] = True
    if known is not None:
        recipe["known"] = _digest_of(known)
    return _corpus(text, choose, cache.place_for(text, recipe) if cache else None)


def encode_corpus(
    files: Sequence[str | Path],
    vocabulary: Vocabulary,
    rules: TextRules = AS_IT_IS,
    *,
    cache: CorpusCache | None = None,
    longest: int | None = None,
) -> Corpus:
    """Encode files with the vocabulary of an existing model, which decides on the unit.

    Raises `UnknownCharacterError` for characters it lacks, unless the rules have a replacement that
    it knows, and `FileError`, as for all that cannot be read, as soon as there are more than
    ``longest``.
    """
    text = TextFiles(find_files(files), replace(rules, unit=vocabulary.unit), longest)
    text.found.settle(vocabulary.labels)
    replacement = rules.replacement
    if rules.items is not None and not rules.items.fits(vocabulary):
        raise FileError(
            "the model does not know how such items begin and end;"
            " data.new_characters=grow teaches it"
        )
    known = replacement is not None and vocabulary.knows(replacement)
    choice = _Choice(vocabulary, _code_of(replacement) if replacement and known else None)
    recipe = {"vocabulary": _digest_of(vocabulary), "replacement": replacement}
    return _corpus(text, lambda survey: choice, cache.place_for(text, recipe) if cache else None)


def split(
    ids: Ids | MappedIds, validation_fraction: float, test_fraction: float = 0.0
) -> tuple[Ids | MappedIds, Ids | MappedIds, Ids | MappedIds]:
    """Cut a text in three views, in its order: train | validation | test.

    Fractions are taken as the decimal numbers they were written as: 0.07 of 100 is 7.
    A part that is asked for must have two characters, one to read and one to predict.
    """
    held_out = [Fraction(str(fraction)) for fraction in (validation_fraction, test_fraction)]
    train_end = math.floor(len(ids) * (1 - sum(held_out)))
    validation_end = math.floor(len(ids) * (1 - held_out[1]))
    parts = ids[:train_end], ids[train_end:validation_end], ids[validation_end:]
    names = ("training", "validation", "test")
    for name, part, asked in zip(names, parts, (True, *held_out), strict=True):
        if asked and len(part) < 2:
            raise FileError(
                f"the text is too short: of its {len(ids):,} characters the {name} part gets"
                f" {len(part)}; add text, or change validation_fraction and test_fraction"
            )
    return parts


@dataclass(frozen=True)
class _Survey:
    """What a first pass over a text finds: how often each code point occurs, and the hash."""

    counts: NDArray[np.int64]
    sha256: str


class _Choice(NamedTuple):
    """A vocabulary, and the code point that stands in for characters it lacks."""

    vocabulary: Vocabulary
    stand_in: int | None


def _survey(text: TextFiles) -> _Survey:
    counts = np.zeros(LAST_CODE_POINT + 1, dtype=np.int64)
    digest = hashlib.sha256()
    for codes in text.blocks(digest):
        in_block = np.bincount(codes)
        counts[: len(in_block)] += in_block
    if not counts.any():
        raise FileError(f"{text.names()}: the text is empty")
    return _Survey(counts, digest.hexdigest())


def _and_those(known: Vocabulary | None, codes: NDArray[np.intp]) -> NDArray[np.intp]:
    return codes if known is None else np.append(known.code_points, codes).astype(np.intp)


def _specials(text: TextFiles, known: Vocabulary | None) -> tuple[str, ...]:
    """The reserved symbols for the items that were found in a text, and for those known."""
    if text.rules.items is None:
        return ()
    labels = {*text.found.labels, *(known.labels if known else ())}
    return text.rules.items.specials(sorted(labels))


def _of_characters(text: TextFiles, survey: _Survey) -> NDArray[np.int64]:
    """How often each occurs. One that ends items is never rare; marks are none."""
    counts = survey.counts.copy()
    if text.rules.items is not None:
        counts[ord(text.rules.items.end)] = survey.counts.sum()
        counts[SURROGATES[0] : SURROGATES[1] + 1] = 0
    return counts


def _without(codes: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.intp]:
    """The code points of a text but for these."""
    counts = counts.copy()
    counts[codes] = 0
    return np.flatnonzero(counts)


def _digest_of(vocabulary: Vocabulary) -> str:
    named = "\0".join(vocabulary.specials).encode()
    return hashlib.sha256(vocabulary.to_array().tobytes() + named).hexdigest()


def _corpus(text: TextFiles, choose: Callable[[_Survey], _Choice], place: Place | None) -> Corpus:
    found = place and place.recall(partial(_begins_as, text))
    found = found or _encode(text, choose, place)
    entropy, warnings = _known_entropy(text, found)
    if empty := text.found.empty:
        warnings += (f"{text.names()}: {empty:,} empty items were left out",)
    return Corpus(found.ids, found.vocabulary, found.sha256, text.paths, entropy, warnings)


def _begins_as(text: TextFiles, found: Encoding) -> bool:
    """Whether the ids begin as the text does: to compare all would take as long as encoding it."""
    text = replace(text, found=Found())
    text.found.settle(found.vocabulary.labels)
    with closing(text.blocks(hashlib.sha256())) as blocks:
        codes = next(filter(len, blocks))[:COMPARED]
    if len(codes) > len(found.ids):
        return False
    known = found.vocabulary.codes
    differing = codes[known[np.asarray(found.ids[: len(codes)])] != codes]
    return not len(differing) or (found.replaced and not np.isin(differing, known).any())


def _encode(text: TextFiles, choose: Callable[[_Survey], _Choice], place: Place | None) -> Encoding:
    survey = _survey(text)
    choice = choose(survey)
    text.found.settle(choice.vocabulary.labels)
    unknown = _without(choice.vocabulary.code_points, _of_characters(text, survey))
    if len(unknown) and choice.stand_in is None:
        raise UnknownCharacterError(unknown.tolist(), where=text.names())
    replaced = len(unknown) > 0
    blocks = partial(_id_blocks, text, survey, choice)
    if place is not None:
        return place.keep(blocks, choice.vocabulary, survey.sha256, replaced=replaced)
    ids = np.empty(survey.counts.sum(), choice.vocabulary.id_dtype)
    _fill(ids, blocks())
    return Encoding(ids, choice.vocabulary, survey.sha256, replaced)


def _id_blocks(text: TextFiles, survey: _Survey, choice: _Choice) -> Iterator[Ids]:
    """The second pass."""
    vocabulary, stand_in = choice
    unknown_id = 0 if stand_in is None else int(vocabulary.encode(chr(stand_in))[0])
    table = vocabulary.id_table(unknown_id)
    digest = hashlib.sha256()
    for codes in text.blocks(digest):
        yield np.take(table, codes, mode="clip")
    if digest.hexdigest() != survey.sha256:
        raise FileError(f"{text.names()}: changed while it was being read; try again")


def _fill(ids: Ids, blocks: Iterable[Ids]) -> None:
    start = 0
    for block in blocks:
        room = ids[start : start + len(block)]
        room[...] = block[: len(room)]  # a text that grows is refused after its last block
        start += len(block)


def _known_entropy(text: TextFiles, found: Encoding) -> tuple[KnownEntropy | None, tuple[str, ...]]:
    """The entropy from the text's sidecar, if it has one, or a warning why it is of no use."""
    sidecar = sidecar_of(text.paths[0])
    if len(text.paths) > 1 or found.replaced or not sidecar.exists():
        return None, ()
    try:
        return read_known_entropy(sidecar, characters=len(found.ids), sha256=found.sha256), ()
    except FileError as error:
        return None, (str(error),)


def _code_of(replacement: str) -> int:
    if len(replacement) != 1 or "\ud800" <= replacement <= "\udfff":
        raise ConfigError(
            f"data.replacement: must be exactly one character, found {shorten(replacement)}"
        )
    return ord(replacement)
