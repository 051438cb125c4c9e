"""A text in the terminal, coloured by one unit; without colours, with marks below each line."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

from charlstm.look.cells.activations import SIGMOIDS
from charlstm.look.cells.colours import DARK, LEVELS, Colour, level_of
from charlstm.look.cells.glyphs import is_blank, label
from charlstm.nn.parameter import Array

RESET = "\x1b[0m"
MARKS = {-2: "=", -1: "-", 0: " ", 1: "+", 2: "#"}


def colours_of(environment: Mapping[str, str], *, is_terminal: bool) -> int:
    """How many colours to use: 0, 256, or 2**24 where the terminal says so.

    A NO_COLOR that is not empty means none (no-color.org).
    """
    if environment.get("NO_COLOR") or not is_terminal or environment.get("TERM") == "dumb":
        return 0
    return 2**24 if environment.get("COLORTERM") in ("truecolor", "24bit") else 256


def lines(
    characters: Sequence[str],
    values: Array,
    quantity: str,
    colours: int,
    begins: Collection[int] = (),
) -> Iterator[str]:
    """The text, line by line, then a legend. ``values``: one for each character. Where an item
    ``begins``, a line does, too.
    """
    for start, stop in pairwise(_line_starts(characters, begins)):
        part = characters[start:stop]
        if colours:
            yield _painted(part, values[start:stop], colours)
        else:
            yield _plain(part).rstrip()
            yield "".join(map(_mark, values[start:stop])).rstrip()
    yield ""
    yield _legend(quantity, colours)


def _line_starts(characters: Sequence[str], begins: Collection[int]) -> list[int]:
    """And where all ends."""
    after_ends = {n + 1 for n, c in enumerate(characters) if c == "\n" and n not in begins}
    return sorted({0, len(characters), *after_ends, *begins})


def _plain(characters: Sequence[str]) -> str:
    """Nothing that a terminal would obey, and one column for each."""
    return "".join(c if is_blank(c) else label(c)[-1] for c in characters)


def _painted(characters: Sequence[str], values: Array, colours: int) -> str:
    painted, before = "", None
    for character, value in zip(_plain(characters), values, strict=True):
        level = level_of(float(value))
        if level != before:
            painted += _escape(level, colours)
            before = level
        painted += character
    return painted + RESET


def _escape(level: int, colours: int) -> str:
    back = DARK.background(level)
    if colours == 256:
        return f"\x1b[38;5;255;48;5;{_of_256(back)}m"
    red, green, blue = DARK.ink
    return f"\x1b[38;2;{red};{green};{blue};48;2;{back[0]};{back[1]};{back[2]}m"


def _of_256(colour: Colour) -> int:
    """The nearest in the cube of 6 x 6 x 6 colours, whose channels are 0, 95, 135, 175, ..."""
    red, green, blue = (
        min(range(6), key=lambda n: abs((55 + 40 * n if n else 0) - channel)) for channel in colour
    )
    return 16 + 36 * red + 6 * green + blue


def _mark(value: float) -> str:
    return MARKS[round(2 * max(-1.0, min(1.0, float(value))))]


def _legend(quantity: str, colours: int) -> str:
    low = 0 if quantity in SIGMOIDS else -1
    if colours:
        steps = range(LEVELS * low, LEVELS + 1, 4)
        return f"{low} " + "".join(_escape(n, colours) + "  " for n in steps) + f"{RESET} 1"
    marks = {n: mark for n, mark in MARKS.items() if n >= 2 * low}
    return "   ".join(f"{mark!r} near {n / 2:g}" for n, mark in marks.items())
