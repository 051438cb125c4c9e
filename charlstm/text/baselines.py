"""What simple methods make of a text: the bits a character that a model should stay below.

Each has the training part to learn from and is measured on the validation part, as a model is. On
a long text only the end of the one and the beginning of the other are used, which keeps all of
them within some seconds and 200 MB.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.text.items import Items
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Ids, Vocabulary

ORDER = 5  # characters before the one that is predicted
MOST_TRAINING, MOST_VALIDATION = 1_000_000, 200_000


class Baseline(NamedTuple):
    """``bits`` a character (of bytes: a byte) on the validation part."""

    name: str
    bits: float


class Excerpt(NamedTuple):
    """The end of the training part and the beginning of the validation part, as ids."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]


def excerpt(train: Ids | MappedIds, validation: Ids | MappedIds) -> Excerpt:
    return Excerpt(
        np.asarray(train[max(0, len(train) - MOST_TRAINING) :], np.int64),
        np.asarray(validation[:MOST_VALIDATION], np.int64),
    )


def baselines(parts: Excerpt, vocabulary: Vocabulary) -> Iterator[Baseline]:
    """From the simplest on; xz only where this Python has it."""
    yield Baseline(f"frequencies of the {vocabulary.unit}", by_frequencies(parts, vocabulary.size))
    compressed = by_xz(parts, vocabulary)
    if compressed is not None:
        yield Baseline("xz, after the training part", compressed)
    yield Baseline(
        f"{ORDER} {vocabulary.unit} of context, counted", by_counting(parts, vocabulary.size)
    )


def baselines_of_items(
    train: Items, validation: Items, vocabulary: Vocabulary
) -> Iterator[Baseline]:
    """As `baselines`, for a list; what compresses texts would read across the borders of items."""
    parts = [_after_nothing(items, vocabulary.size, 0) for items in (train, validation)]
    counts = np.bincount(parts[0], minlength=vocabulary.size) + 1.0
    bits = float(-np.log2(counts[parts[1]] / counts.sum()).mean())
    yield Baseline(f"frequencies of the {vocabulary.unit}", bits)
    bits = by_counting_in_items(train, validation, vocabulary.size)
    yield Baseline(f"{ORDER} {vocabulary.unit} of context, counted", bits)


def at_most(items: Items, characters: int) -> Items:
    """The items with which a list begins, of not many more characters."""
    stop = int(np.searchsorted(items.lengths.cumsum(dtype=np.int64), characters)) + 1
    return items.chosen(np.arange(min(stop, items.count)))


def by_frequencies(parts: Excerpt, symbols: int) -> float:
    """Every character by how often it occurs; each counted once more, so that none is impossible.

    The first character of the validation part is not predicted, as by a model.
    """
    counts = np.bincount(parts.train, minlength=symbols) + 1.0
    return float(-np.log2(counts[parts.validation[1:]] / counts.sum()).mean())


def by_counting(parts: Excerpt, symbols: int, order: int = ORDER) -> float:
    """An n-gram model of the training part, interpolated as Witten and Bell (1991) have it:

    p_k(c | h) = (n(hc) + d(h) p_{k-1}(c | h')) / (n(h) + d(h))

    where h are the k characters before c and h' without the first of them, n counts, and d(h) is
    how many different characters followed h. p_{-1} is uniform.
    """
    text = np.concatenate(parts)
    learned = np.arange(len(parts.train))
    predicted = np.arange(len(parts.train) + 1, len(text))
    return _interpolated(text, learned, predicted, symbols, order)


def by_counting_in_items(
    train: Items, validation: Items, symbols: int, order: int = ORDER
) -> float:
    """As `by_counting`; before an item stands nothing but signs that nothing does."""
    texts = [_after_nothing(items, symbols, order) for items in (train, validation)]
    text = np.concatenate(texts)
    of_items = np.flatnonzero(text < symbols)
    border = np.searchsorted(of_items, len(texts[0]))
    return _interpolated(text, of_items[:border], of_items[border:], symbols, order)


def _after_nothing(items: Items, nothing: int, order: int) -> NDArray[np.int64]:
    """What is predicted of the items, each after ``order`` times the number ``nothing``."""
    lengths = items.lengths.astype(np.int64)
    starts = (lengths + order).cumsum() - lengths
    text = np.full(len(lengths) * order + int(lengths.sum()), nothing)
    offsets = np.arange(int(lengths.sum())) - np.repeat(lengths.cumsum() - lengths, lengths)
    following = np.repeat(items.starts.astype(np.int64), lengths) + offsets + 1
    text[np.repeat(starts, lengths) + offsets] = items.ids[
        np.minimum(following, len(items.ids) - 1)
    ]
    text[starts + lengths - 1] = items.end
    return text


def _interpolated(
    text: NDArray[np.int64],
    learned: NDArray[np.int64],
    predicted: NDArray[np.int64],
    symbols: int,
    order: int,
) -> float:
    probability = np.full(len(predicted), 1.0 / symbols)
    grams = np.zeros(len(text), np.int64)  # of each place, the number of the k-gram that ends there
    for k in range(min(order, len(learned) - 1) + 1):
        context = np.concatenate((grams[:1], grams[:-1]))
        _, places, longer = np.unique(
            context * (symbols + 1) + text, return_index=True, return_inverse=True
        )
        learned = learned[learned >= k]  # before k, no k characters precede
        of_gram = np.bincount(longer[learned], minlength=len(places))
        of_context = np.bincount(context[learned], minlength=context.max() + 1)
        followers = context[places[of_gram > 0]]
        different = np.bincount(followers, minlength=len(of_context))
        here = context[predicted]
        total = of_context[here] + different[here]
        seen = total > 0
        mixed = of_gram[longer[predicted]] + different[here] * probability
        probability[seen] = mixed[seen] / total[seen]
        grams = longer
    return float(-np.log2(probability).mean())


def by_xz(parts: Excerpt, vocabulary: Vocabulary) -> float | None:
    """How much longer the compressed training part becomes with the validation part after it."""
    try:
        import lzma  # noqa: PLC0415 (a Python may have been built without it)
    except ImportError:
        return None
    train, validation = (vocabulary.to_bytes(part) for part in parts)
    more = len(lzma.compress(train + validation)) - len(lzma.compress(train))
    return 8.0 * more / len(parts.validation)
