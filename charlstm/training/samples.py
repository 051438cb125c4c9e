"""What a model writes while it is trained, and at the end."""

import time
from collections.abc import Iterator
from itertools import takewhile

import numpy as np

from charlstm.nn.model import CharLM
from charlstm.nn.sampling import Choice, generate
from charlstm.saved.samples import after_sampled_item
from charlstm.text.marking import ItemRules
from charlstm.text.vocabulary import Vocabulary

GLANCE = 0.5
"""Seconds after which nobody has to wait any longer for a sample that only a terminal is shown."""


def sample(
    model: CharLM, vocabulary: Vocabulary, rules: ItemRules | None, length: int, seed: int
) -> Iterator[str]:
    """In pieces. Raises `OverflowedError` where the scores are not finite."""
    if rules is None:
        return written(model, vocabulary, length, seed)
    return written_items(model, vocabulary, rules, length, seed)


def written(model: CharLM, vocabulary: Vocabulary, length: int, seed: int) -> Iterator[str]:
    """A sample of so many characters (or bytes), in pieces of one, without touching what training
    uses. Raises `OverflowedError` where the scores are not finite.
    """
    ids = generate(
        model, vocabulary.default_start(), count=1, length=length, choice=Choice(), seed=seed
    )
    decoder = vocabulary.decoder()
    return (decoder.decode(one) for one in ids)


def written_items(
    model: CharLM, vocabulary: Vocabulary, rules: ItemRules, length: int, seed: int
) -> Iterator[str]:
    """As `written`, for a model of a list: item after item, as `after_sampled_item` parts them, and
    after a label if it has one; the last is cut off where it gets too long.
    """
    after = after_sampled_item(rules.separator, vocabulary)
    starts, end = rules.start_ids(vocabulary), rules.end_id(vocabulary)
    labels = [f"{label}\t" for label in vocabulary.labels] or [""]
    number = 0
    while length > 0:
        which = number % len(starts)
        start = np.array([starts[which]])
        ids = generate(
            model, start, count=1, length=length, choice=Choice(), seed=seed, first=number
        )
        decoder = vocabulary.decoder()
        yield labels[which]
        for one in takewhile(lambda one: int(one[0]) != end, ids):
            yield decoder.decode(one)
            length -= 1
        yield decoder.decode(start[:0], final=True) + after
        length, number = length - 1, number + 1


def at_a_glance(pieces: Iterator[str]) -> str:
    """As much of a sample as can be made in a moment."""
    until = time.perf_counter() + GLANCE
    found = []
    for piece in pieces:
        found.append(piece)
        if time.perf_counter() > until:
            break
    return "".join(found)
