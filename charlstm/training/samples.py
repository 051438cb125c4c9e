"""What a model writes while it is trained, and at the end."""

import time
from collections.abc import Iterator

from charlstm.nn.model import CharLM
from charlstm.nn.sampling import Choice, generate
from charlstm.text.vocabulary import Vocabulary

GLANCE = 0.5
"""Seconds after which nobody has to wait any longer for a sample that only a terminal is shown."""


def written(model: CharLM, vocabulary: Vocabulary, length: int, seed: int) -> Iterator[str]:
    """A sample of so many characters (or bytes), in pieces of one, without touching what training
    uses. Raises `OverflowedError` where the scores are not finite.
    """
    ids = generate(
        model, vocabulary.default_start(), count=1, length=length, choice=Choice(), seed=seed
    )
    decoder = vocabulary.decoder()
    return (decoder.decode(one) for one in ids)


def at_a_glance(pieces: Iterator[str]) -> str:
    """As much of a sample as can be made in a moment."""
    until = time.perf_counter() + GLANCE
    found = []
    for piece in pieces:
        found.append(piece)
        if time.perf_counter() > until:
            break
    return "".join(found)
