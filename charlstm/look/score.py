"""How a model's loss on a text is spread over its characters and its lines."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.from_config import text_rules_of
from charlstm.look.lanes import lane_losses
from charlstm.look.unknown_characters import advised
from charlstm.messages import listed, show
from charlstm.nn.finite import finite_logits, finite_losses
from charlstm.nn.loss import NATS_PER_BIT, bits, perplexity
from charlstm.nn.pace import Pace
from charlstm.nn.predictor import Predictor
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.own_text import NAMED_BY_EVAL, own_part
from charlstm.text.code_points import TextRules
from charlstm.text.corpus import encode_corpus
from charlstm.text.encoding import encode_string, read_stdin
from charlstm.text.items import Items
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.parts import Name
from charlstm.text.vocabulary import Ids, Vocabulary

NEWLINE = 10

Losses = Iterable[NDArray[np.float64]]


class Part(NamedTuple):
    """A character or a line of a text.

    ``number``: its place, from 1 on. ``predicted``: how many of its characters were, which is all
    of them except at the very beginning of the text; ``bits``: the sum over those.
    """

    number: int
    text: str
    predicted: int
    bits: float


@dataclass(frozen=True, eq=False)
class Score:
    """How well a model predicts a text: each character but the first, from all before it.

    ``nats[k]`` belongs to the character ``k + 1`` (of a model of bytes: to that byte), so there is
    one fewer than there are characters.
    """

    ids: Ids
    vocabulary: Vocabulary
    nats: NDArray[np.float64]

    @property
    def bits(self) -> NDArray[np.float64]:
        """``nats`` in bits."""
        return self.nats / NATS_PER_BIT

    @cached_property
    def nats_per_character(self) -> float:
        """The mean: the loss."""
        return math.fsum(self.nats) / len(self.nats)

    @property
    def bits_per_character(self) -> float:
        return self.nats_per_character / NATS_PER_BIT

    def lines(self) -> list[Part]:
        """The bits of every line, its line end included."""
        return list(by_line(self.ids, self.vocabulary, [self.nats]))


def by_character(ids: Ids, vocabulary: Vocabulary, losses: Losses) -> Iterator[Part]:
    """Every character but the first; ``losses`` as from `evaluation.exact_losses`, in nats."""
    texts = [text_of(one, vocabulary) for one in np.arange(vocabulary.size)[:, np.newaxis]]
    for place, nats in enumerate(_one_by_one(losses), start=1):
        yield Part(place + 1, texts[ids[place]], 1, nats / NATS_PER_BIT)


def by_line(ids: Ids, vocabulary: Vocabulary, losses: Losses) -> Iterator[Part]:
    """Every line; a line feed belongs to the line that it ends."""
    each = _one_by_one(losses)
    start = 0
    for number, stop in enumerate(_ends_of_lines(ids, vocabulary), start=1):
        predicted = stop - max(start, 1)
        bits = math.fsum(islice(each, predicted)) / NATS_PER_BIT
        yield Part(number, text_of(ids[start:stop], vocabulary), predicted, bits)
        start = stop


def text_of(ids: NDArray[np.integer[Any]], vocabulary: Vocabulary) -> str:
    """Bytes that are no UTF-8 become lone surrogates: PEP 383."""
    return vocabulary.to_bytes(ids).decode("utf-8", "surrogateescape")


def _one_by_one(losses: Losses) -> Iterator[float]:
    return chain.from_iterable(piece.tolist() for piece in losses)


def _ends_of_lines(ids: Ids, vocabulary: Vocabulary) -> list[int]:
    newline = np.flatnonzero(vocabulary.code_points == NEWLINE)
    ends: list[int] = (np.flatnonzero(ids == newline[0]) + 1).tolist() if len(newline) else []
    return ends if ends and ends[-1] == len(ids) else [*ends, len(ids)]


EXACT_CHUNK = 256  # steps computed at a time; the result does not depend on it


def exact_losses(model: Predictor, ids: Ids | MappedIds) -> Iterator[NDArray[np.float64]]:
    """Nats of every character but the first, in pieces; the state is carried from the start on.

    Raises `OverflowedError` for what is not finite.
    """
    states = model.zero_states(1)
    tapes: dict[int, Any] = {}
    for start in range(0, len(ids) - 1, EXACT_CHUNK):
        piece = np.asarray(ids[start : start + EXACT_CHUNK + 1], np.intp)[:, np.newaxis]
        steps = len(piece) - 1
        if steps not in tapes:
            tapes[steps] = model.tape(steps, 1)
        logits, states = finite_logits(model, piece[:-1], states, tapes[steps])
        yield finite_losses(model, logits, piece[1:, 0]).astype(np.float64)


# A text read for a model, and its loss -----------------------------------------------------------


class Tally:
    """The losses of a text, as far as they have been handed out."""

    def __init__(self) -> None:
        self._sums: list[float] = []
        self._count = 0

    def counting(self, losses: Losses) -> Losses:
        for piece in losses:
            self._sums.append(float(piece.sum()))
            self._count += len(piece)
            yield piece

    @property
    def loss(self) -> float:
        """Nats a character."""
        return math.fsum(self._sums) / self._count

    def figures(self) -> dict[str, Any]:
        """Nats, bits and perplexity a character, as JSON can say them."""
        loss = self.loss
        return {
            "loss": loss,
            "bits_per_char": bits(loss),
            "perplexity": perplexity(loss) if loss < 700 else None,  # JSON has no infinity
        }


@dataclass
class TextToScore:
    """A text, and the loss on it as far as it has been computed.

    ``source_bits``: the entropy of its source, bits a character, where that is known. ``pace``: at
    which the model adapts to the text in a second reading, if there is to be one. ``lanes``: so
    many read the text side by side; None: one does, and that is exact.
    """

    name: str
    ids: Ids
    source_bits: float | None
    pace: Pace | None = None
    lanes: int | None = None
    static: Tally = field(default_factory=Tally, init=False)
    adapted: Tally = field(default_factory=Tally, init=False)

    @property
    def predictions(self) -> int:
        return len(self.ids) - 1

    def losses(self, loaded: LoadedModel) -> Losses:
        """As from `exact_losses` or `lane_losses`; what has been handed out counts in `figures`."""
        if self.lanes is not None:
            return self.static.counting(lane_losses(loaded.predictor, self.ids, self.lanes))
        return self.static.counting(exact_losses(loaded.predictor, self.ids))

    def adapted_losses(self, loaded: LoadedModel) -> Losses:
        """Those of dynamic evaluation."""
        assert self.pace is not None
        return self.adapted.counting(loaded.adapted_losses(self.ids, self.pace))

    def figures(self, loaded: LoadedModel) -> dict[str, Any]:
        """What there is to say of the whole text, as JSON can say it."""
        figures = {
            **loaded.stated(),
            "text": self.name,
            "characters": len(self.ids),
            **self.static.figures(),
            "source_bits_per_char": self.source_bits,
        }
        if self.lanes is not None:
            figures["lanes"] = self.lanes
        if self.pace is not None:
            figures["adapted"] = self.adapted.figures() | asdict(self.pace)
        return figures


def text_to_score(names: Sequence[Path], loaded: LoadedModel) -> TextToScore:
    """Files, or with ``-`` standard input, read as the model's text was. Raises `FileError`."""
    vocabulary, rules = loaded.vocabulary, text_rules_of(loaded.config)
    if rules.items is not None:
        raise FileError(f"{show(loaded.path)}: reads a list, and scores item by item")
    with advised(loaded):
        text = _text_to_score(names, vocabulary, rules)
    if len(text.ids) < 2:
        where = "standard input" if text.name == "-" else text.name
        found = f"{len(text.ids)} {vocabulary.unit}"
        raise FileError(f"{where}: has {found}; there is nothing to predict")
    return text


def _text_to_score(names: Sequence[Path], vocabulary: Vocabulary, rules: TextRules) -> TextToScore:
    if list(map(str, names)) == ["-"]:
        ids = encode_string(read_stdin(vocabulary.unit), vocabulary, rules)
        return TextToScore("-", ids, None)
    corpus = encode_corpus(names, vocabulary, rules)
    source_bits = corpus.source_bits_per_character(0, corpus.characters)
    return TextToScore(listed(names), np.asarray(corpus.ids), source_bits)


def part_to_score(
    part: Name,
    loaded: LoadedModel,
    moved_to: Sequence[Path] = (),
    *,
    named_by: str = NAMED_BY_EVAL,
) -> TextToScore:
    """A part of the model's own text, as `own_part`. Raises `FileError`."""
    own = own_part(part, loaded, moved_to, named_by=named_by)
    if isinstance(own.part, Items):
        raise FileError(f"{own.name}: a list, which is scored item by item")
    return TextToScore(own.name, np.asarray(own.part), own.source_bits)
