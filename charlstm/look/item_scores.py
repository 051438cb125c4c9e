"""What each item of a list costs a model: alone, from a state of zero, whatever is beside it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.from_config import item_rules_of, text_rules_of
from charlstm.look.unknown_characters import advised
from charlstm.messages import listed, show
from charlstm.nn.finite import finite_logits, finite_losses
from charlstm.nn.loss import NATS_PER_BIT, bits, perplexity
from charlstm.nn.predictor import Predictor
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.own_text import own_part
from charlstm.text.corpus import encode_corpus
from charlstm.text.encoding import encode_items, encode_list, read_stdin
from charlstm.text.items import Items, items_of
from charlstm.text.marking import ItemRules
from charlstm.text.parts import Name
from charlstm.text.vocabulary import Ids

LANES, STEPS = 64, 32  # always: what an item costs depends on others by the last digit alone

Nats = NDArray[np.float64]


class ItemScore(NamedTuple):
    """``number`` from 1 on; ``characters`` that were predicted, the end among them; their ``bits``.

    ``rank``: 1 has most bits a character. ``percentile``: of the held-out items that have fewer.
    """

    number: int
    text: str
    characters: int
    bits: float
    rank: int
    percentile: float | None

    @property
    def bits_per_character(self) -> float:
        return self.bits / self.characters


class Scored(NamedTuple):
    """Some of the items, by number, and nats of each."""

    numbers: NDArray[np.intp]
    nats: Nats


def item_nats(model: Predictor, items: Items) -> Iterator[Scored]:
    """Group by group, of items of about one length. Raises `OverflowedError`."""
    lengths, starts = items.lengths.astype(np.intp), items.starts.astype(np.intp)
    order = np.argsort(lengths, kind="stable")[::-1]
    tape = model.tape(STEPS, LANES)
    for first in range(0, items.count, LANES):
        group = order[first : first + LANES]
        lanes = np.resize(group, LANES)
        nats = _nats_of_lanes(model, items, (starts[lanes], lengths[lanes]), tape)
        yield Scored(group, nats[: len(group)])


def _nats_of_lanes(
    model: Predictor, items: Items, lanes: tuple[NDArray[np.intp], NDArray[np.intp]], tape: Any
) -> Nats:
    """The sum for the item in each lane, ``(LANES,)``."""
    starts, lengths = lanes
    states, sums = model.zero_states(LANES), np.zeros(LANES)
    for offset in range(0, int(lengths.max()), STEPS):
        steps = offset + np.arange(STEPS)[:, np.newaxis]
        x = items.ids[starts + np.minimum(steps, lengths - 1)].astype(np.intp)
        following = items.ids[starts + np.minimum(steps + 1, lengths - 1)]
        y = np.where(steps + 1 < lengths, following, items.end).astype(np.intp)
        logits, states = finite_logits(model, x, states, tape)
        losses = finite_losses(model, logits, y.reshape(-1)).reshape(x.shape)
        sums += losses.sum(axis=0, where=steps < lengths, dtype=np.float64)
    return sums


def ranks_of(surprise: Nats) -> NDArray[np.intp]:
    """1 for the largest; of equal ones the first comes first."""
    ranks = np.empty(len(surprise), np.intp)
    ranks[np.argsort(-surprise, kind="stable")] = np.arange(1, len(surprise) + 1)
    return ranks


# A list read for a model, and its loss -----------------------------------------------------------


@dataclass
class ItemsToScore:
    """A list, and the bits of its items as far as they have been computed.

    ``calibration``: bits a character of the held-out items, sorted.
    """

    name: str
    items: Items
    source_bits: float | None = None
    calibration: Nats | None = None
    most_surprising_first: bool = False
    nats: Nats = field(init=False)

    def __post_init__(self) -> None:
        self.nats = np.zeros(self.items.count)

    @property
    def pace(self) -> None:
        """Items are read each on its own: a model does not adapt to them."""
        return None

    @property
    def predictions(self) -> int:
        return self.items.predictions

    def losses(self, loaded: LoadedModel) -> Iterator[range]:
        """Ranges as long as the groups of items that have been read; what was read counts."""
        for group in item_nats(loaded.predictor, self.items):
            self.nats[group.numbers] = group.nats
            yield range(int(self.items.lengths[group.numbers].sum(dtype=np.int64)))

    def rows(self, loaded: LoadedModel) -> Iterator[ItemScore]:
        """Every item, once all are read."""
        for _ in self.losses(loaded):
            pass
        yield from self.computed(loaded)

    def computed(self, loaded: LoadedModel) -> Iterator[ItemScore]:
        """The rows of what `losses` has read."""
        each = bits_per_character(self.items, self.nats)
        ranks = ranks_of(each)
        order = np.argsort(ranks) if self.most_surprising_first else np.arange(len(ranks))
        for number in order.tolist():
            yield ItemScore(
                number + 1,
                loaded.vocabulary.decode(self.items.item(number)[1:], "surrogateescape"),
                int(self.items.lengths[number]),
                float(self.nats[number]) / NATS_PER_BIT,
                int(ranks[number]),
                self._percentile(each[number]),
            )

    def _percentile(self, surprise: float) -> float | None:
        if self.calibration is None:
            return None
        below = int(np.searchsorted(self.calibration, surprise))
        return 100.0 * below / len(self.calibration)

    @property
    def loss(self) -> float:
        """Nats a character, the ends counted."""
        return math.fsum(self.nats) / self.predictions

    def figures(self, loaded: LoadedModel) -> dict[str, Any]:
        """What there is to say of the whole list, as JSON can say it."""
        return {
            **loaded.stated(),
            "text": self.name,
            "items": self.items.count,
            "characters": self.predictions,
            "loss": self.loss,
            "bits_per_char": bits(self.loss),
            "bits_per_item": bits(math.fsum(self.nats)) / self.items.count,
            "perplexity": perplexity(self.loss) if self.loss < 700 else None,  # JSON: no infinity
            "source_bits_per_char": self.source_bits,
        }


def list_to_score(names: Sequence[Path], loaded: LoadedModel) -> ItemsToScore:
    """Files, or with ``-`` standard input, read as the model's list was. Raises `FileError`."""
    rules, vocabulary = rules_of(loaded), loaded.vocabulary
    with advised(loaded):
        if list(map(str, names)) == ["-"]:
            text = read_stdin(vocabulary.unit)
            ids = encode_list(text, vocabulary, text_rules_of(loaded.config), rules)
            name, source_bits = "-", None
        else:
            corpus = encode_corpus(names, vocabulary, text_rules_of(loaded.config))
            ids, name = np.asarray(corpus.ids), listed(names)
            source_bits = corpus.source_bits_per_character(0, corpus.characters)
    return ItemsToScore(name, items_named(names, ids, loaded, rules), source_bits)


def items_named(names: Sequence[Path], ids: Ids, loaded: LoadedModel, rules: ItemRules) -> Items:
    """As `items_of`; raises `FileError` that names the list where it has no items."""
    try:
        return items_of(ids, rules, loaded.vocabulary)
    except FileError as error:
        name = listed(names)
        raise FileError(f"{'standard input' if name == '-' else name}: {error}") from None


def part_of_list(part: Name, loaded: LoadedModel, moved_to: Sequence[Path] = ()) -> ItemsToScore:
    """A part of the model's own list, which may lie elsewhere by now. Raises `FileError`."""
    rules_of(loaded)
    own = own_part(part, loaded, moved_to)
    assert isinstance(own.part, Items)
    return ItemsToScore(own.name, own.part, own.source_bits)


def score_strings(loaded: LoadedModel, texts: Sequence[str]) -> list[ItemScore]:
    """Each string as an item of its own. Raises `FileError` where it cannot be one."""
    rules = rules_of(loaded)
    if rules.labels:
        raise FileError(f"{show(loaded.path)}: its items have labels: see classify")
    if not texts:
        return []
    plain = replace(text_rules_of(loaded.config), items=None)
    items = encode_items(texts, loaded.vocabulary, plain, rules)
    return list(ItemsToScore("the texts", items).rows(loaded))


def rules_of(loaded: LoadedModel) -> ItemRules:
    """Raises `FileError` for a model of one text."""
    rules = item_rules_of(loaded.config)
    if rules is None:
        raise FileError(f"{show(loaded.path)}: a model of one text, and no list: see data.items")
    return rules


def bits_per_character(items: Items, nats: Nats) -> Nats:
    return nats / items.lengths / NATS_PER_BIT


def calibrated(text: ItemsToScore, held_out: ItemsToScore, loaded: LoadedModel) -> None:
    """Tell how unusual each item is among those held out from training."""
    for _ in held_out.losses(loaded):
        pass
    text.calibration = np.sort(bits_per_character(held_out.items, held_out.nats))
