"""What a reader could know of each character from the text alone.

Everything is said of the moment after a character has been read, as a unit's state is: the mark
that opens a quotation counts as inside it, the mark that closes it does not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

CLOSING_QUOTES = {'"': '"', "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u00ab": "\u00bb"}
CLOSING_BRACKETS = {"(": ")", "[": "]", "{": "}"}
APOSTROPHES = "'\u2019"


@dataclass(frozen=True)
class Feature:
    """``values`` gives one number for each of a text's characters."""

    name: str
    definition: str
    values: Callable[[Sequence[str]], Values]


def measured(text: Sequence[str]) -> Values:
    """All `FEATURES` of the characters of ``text``: ``(characters, features)``."""
    return np.column_stack([feature.values(text) for feature in FEATURES])


def measured_apart(texts: Iterable[Sequence[str]]) -> Values:
    """Of several texts, of which none goes on in the next: ``(characters of all, features)``."""
    return np.concatenate([measured(text) for text in texts])


def inside_quotes(text: Sequence[str]) -> Values:
    return np.array(list(_inside_quotes(text)), np.float64)


def _inside_quotes(text: Sequence[str]) -> Iterator[bool]:
    closing, before = "", ""
    for character in text:
        if closing and character in closing:
            closing = ""
        elif not closing:
            closing = CLOSING_QUOTES.get(character, "")
        if character == before == "\n":
            closing = ""
        before = character
        yield bool(closing)


def bracket_depth(text: Sequence[str]) -> Values:
    return np.array(list(_bracket_depths(text)), np.float64)


def _bracket_depths(text: Sequence[str]) -> Iterator[int]:
    awaited: list[str] = []
    for character in text:
        if character in CLOSING_BRACKETS:
            awaited.append(CLOSING_BRACKETS[character])
        elif character in awaited:
            while awaited.pop() != character:
                pass
        yield len(awaited)


def inside_brackets(text: Sequence[str]) -> Values:
    return np.sign(bracket_depth(text))


def position_in_line(text: Sequence[str]) -> Values:
    places = np.arange(len(text), dtype=np.float64)
    line_starts = np.where(after_newline(text) > 0, places, 0.0)
    return np.asarray(places - np.maximum.accumulate(line_starts))


def after_newline(text: Sequence[str]) -> Values:
    return np.array([character == "\n" for character in text], np.float64)


def inside_word(text: Sequence[str]) -> Values:
    return np.array([c.isalnum() or c in APOSTROPHES for c in text], np.float64)


def upper_case(text: Sequence[str]) -> Values:
    return np.array([c.isupper() for c in text], np.float64)


def digits(text: Sequence[str]) -> Values:
    return np.array([c.isdigit() for c in text], np.float64)


def position_in_document(text: Sequence[str]) -> Values:
    return np.linspace(0.0, 1.0, len(text))


FEATURES = (
    Feature(
        "inside quotation marks",
        '1 from an opening mark (", \u201c, \u201e, \u00ab) up to the one that closes it, which '
        "counts as outside; a blank line ends a quotation that nothing has closed",
        inside_quotes,
    ),
    Feature(
        "inside brackets",
        "1 from an opening ( [ { up to the one that closes it, which counts as outside",
        inside_brackets,
    ),
    Feature("depth of brackets", "how many brackets are open", bracket_depth),
    Feature("position in the line", "characters since the last line break", position_in_line),
    Feature("after a newline", "1 at a line break: nothing of the line is read", after_newline),
    Feature("inside a word", "1 at letters, digits and apostrophes", inside_word),
    Feature("upper case", "1 at upper-case letters", upper_case),
    Feature("digit", "1 at digits", digits),
    Feature(
        "position in the document", "0 at its first character, 1 at its last", position_in_document
    ),
)
