"""The book of the harbour town: pages from the grammar, one after the other, in wrapped lines.

A page begins on the date and with the number at which the page before it ended; nothing else is
carried over. Line breaks are no choice: every line takes as many words as fit.
"""

import datetime
import math
import random
import re
from pathlib import Path
from typing import NamedTuple

from grammar import Grammar, Memory, Pen, Place, chooser

LINE_WIDTH = 72
BEFORE_PAGE_ONE = {"date": datetime.date(1871, 3, 3).isoformat(), "number": "100"}


class NotOfThisGrammar(ValueError):  # noqa: N818 - it says what the text is
    """The text has no derivation, or more than one."""


class Book(NamedTuple):
    """A text, and for each of its pages the offset where it ends and the bits of its choices."""

    text: str
    page_ends: list[int]
    page_bits: list[list[float]]

    def checkpoints(self) -> list[tuple[int, float]]:
        """(characters, bits of all the text before) at the end of each page."""
        totals, total = [], 0.0
        for bits in self.page_bits:
            total += math.fsum(bits)
            totals.append(total)
        return list(zip(self.page_ends, totals, strict=True))


def load_grammar() -> Grammar:
    return Grammar(Path(__file__).with_name("harbour.grammar").read_text(encoding="utf-8"))


def write_book(grammar: Grammar, seed: int, length: int) -> Book:
    """Whole pages until there are at least `length` characters."""
    choose = chooser(random.Random(seed).random)
    memory, pages, ends, bits = BEFORE_PAGE_ONE, [], [], []
    end = 0
    while end < length:
        pen = Pen(choose, memory)
        grammar["page"].write(pen)
        page = wrap("".join(pen.pieces))
        memory = carried_over(pen.memory)
        end += len(page)
        pages.append(page)
        ends.append(end)
        bits.append(pen.bits)
    return Book("".join(pages), ends, bits)


def read_book(grammar: Grammar, text: str) -> Book:
    """Finds the choices again, from the text alone.

    Raises NotOfThisGrammar unless the text is whole pages with exactly one derivation.
    """
    flat = unwrap(text)
    if wrap(flat) != text:
        raise NotOfThisGrammar(f"a line is not filled up to {LINE_WIDTH} columns as it could be")
    memory, ends, bits = BEFORE_PAGE_ONE, [], []
    start = 0
    while start < len(flat):
        derivations = grammar["page"].read(Place(flat, start, memory, None, {}))
        if len(derivations) != 1:
            raise NotOfThisGrammar(
                f"the page at character {start} has {len(derivations)} derivations"
            )
        page = derivations[0]
        memory, start = carried_over(page.memory), page.position
        ends.append(page.position)
        bits.append(page.bits())
    return Book(text, ends, bits)


def score(text: str) -> float:
    """-log2 P(text), in bits. Raises NotOfThisGrammar where P(text) is zero."""
    return math.fsum(bits for page in read_book(load_grammar(), text).page_bits for bits in page)


def carried_over(memory: Memory) -> Memory:
    return {name: memory[name] for name in BEFORE_PAGE_ONE}


def wrap(text: str) -> str:
    """Turns the last space that keeps a line within LINE_WIDTH into a line break, line by line."""
    return "\n".join(wrap_line(line) for line in text.split("\n"))


def wrap_line(line: str) -> str:
    lines: list[str] = []
    for word in line.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= LINE_WIDTH:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return "\n".join(lines)


def unwrap(text: str) -> str:
    """Undoes `wrap`: a break followed by a blank line or by an indented line is the page's own."""
    return re.sub(r"(?<=[^\n])\n(?=[^\n ])", " ", text)
