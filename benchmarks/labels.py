"""A list with labels from texts, and how well 3-grams of characters tell them apart.

    python benchmarks/labels.py FOLDER NAME=TEXT NAME=TEXT ...

writes train.txt, validation.txt and test.txt: the lines of each text that have a letter, as
`label<TAB>line`, as many of each as the shortest has and `MOST` at most, drawn by chance, a tenth
of them for validation and a tenth for the test. Then prints what naive Bayes reaches on the test
part: the 3-grams of a line, its edges among them, taken as independent, counted in the training
part and smoothed by adding a number that is best on the validation part (Manning, Raghavan &
Schuetze 2008, chapter 13).
"""

import math
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SEED = 1
MOST = 8_000  # lines of each text
ADDED = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
EDGE = "\n"


class Labelled(NamedTuple):
    label: str
    line: str


def lines_of(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if any(map(str.isalpha, line))]


def parts_of(texts: Mapping[str, Sequence[str]]) -> dict[str, list[Labelled]]:
    """train, validation and test."""
    choices = random.Random(SEED)
    each = min(MOST, *map(len, texts.values()))
    items = [
        Labelled(label, line)
        for label, lines in sorted(texts.items())
        for line in choices.sample(lines, each)
    ]
    choices.shuffle(items)
    tenth = len(items) // 10
    return {
        "train": items[2 * tenth :],
        "validation": items[:tenth],
        "test": items[tenth : 2 * tenth],
    }


def trigrams(line: str) -> Iterator[str]:
    whole = EDGE + line + EDGE
    return (whole[place : place + 3] for place in range(len(whole) - 2))


class NaiveBayes:
    """p(label | line) is proportional to p(label) times p(3-gram | label) of each 3-gram."""

    def __init__(self, items: Sequence[Labelled]) -> None:
        self.shares = Counter(item.label for item in items)
        self.counts: dict[str, Counter[str]] = {label: Counter() for label in self.shares}
        for label, line in items:
            self.counts[label].update(trigrams(line))
        self.different = len(set().union(*self.counts.values())) + 1
        self.totals = {label: counts.total() for label, counts in self.counts.items()}

    def label_of(self, line: str, added: float) -> str:
        seen = list(trigrams(line))

        def nats(label: str) -> float:
            counts = self.counts[label]
            whole = math.log(self.totals[label] + added * self.different)
            found = math.fsum(math.log(counts[gram] + added) - whole for gram in seen)
            return found + math.log(self.shares[label])

        return max(sorted(self.shares), key=nats)

    def accuracy(self, items: Sequence[Labelled], added: float) -> float:
        right = sum(self.label_of(item.line, added) == item.label for item in items)
        return right / len(items)


def main(folder: Path, texts: Mapping[str, Path]) -> Iterator[str]:
    parts = parts_of({label: lines_of(path) for label, path in texts.items()})
    folder.mkdir(parents=True, exist_ok=True)
    for name, items in parts.items():
        text = "".join(f"{label}\t{line}\n" for label, line in items)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        yield f"{name}: {len(items):,} lines"
    bayes = NaiveBayes(parts["train"])
    best = max(ADDED, key=lambda added: bayes.accuracy(parts["validation"], added))
    right = bayes.accuracy(parts["test"], best)
    yield f"3-grams, {best} added: {right:.4f} of the test lines right"


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    named = (word.partition("=") for word in sys.argv[2:])
    for told in main(Path(sys.argv[1]), {label: Path(path) for label, _, path in named}):
        print(told)
