"""The texts in samples.txt, which a run wrote while it learned."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from charlstm.system.files import read_exactly, reading
from charlstm.text.vocabulary import Vocabulary

HEADING = re.compile(r"--- step ([0-9]{1,18})")


class Sample(NamedTuple):
    step: int
    text: str


def read_samples(path: Path) -> list[Sample]:
    """All samples; none for a run without the file. Raises `FileError`.

    A model can write what looks like a heading; only a later step makes it one.
    """
    if not path.exists():
        return []
    with reading(path) as (stream, size):
        content = bytes(read_exactly(stream, size)).decode("utf-8", "replace")
    samples: list[tuple[int, list[str]]] = []
    for line in content.removesuffix("\n").split("\n"):
        heading = HEADING.fullmatch(line)
        if heading and (not samples or int(heading[1]) > samples[-1][0]):
            samples.append((int(heading[1]), []))
        elif samples:
            samples[-1][1].append(line)
    return [Sample(step, "\n".join(lines)) for step, lines in samples]


def after_sampled_item(items: str, vocabulary: Vocabulary) -> str:
    """What stands after each item in a sample of a list (`data.items`): an item that may have
    several lines has a blank one after it.
    """
    return "\n" if items == "lines" or not vocabulary.knows("\n") else "\n\n"


def spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most ``most`` (2 or more) of them, from the first to the last, evenly."""
    if len(samples) <= most:
        return list(samples)
    places = (round(n * (len(samples) - 1) / (most - 1)) for n in range(most))
    return [samples[place] for place in places]
