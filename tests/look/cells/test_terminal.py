import re

import numpy as np
import pytest

from charlstm.look.cells.colours import DARK
from charlstm.look.cells.terminal import colours_of, lines

TEXT = list("ab c\n\x1bd")
VALUES = np.array([1.0, 0.6, 0.1, -0.6, -1.0, 0.0, -0.3])


@pytest.mark.parametrize(
    ("environment", "is_terminal", "colours"),
    [
        ({"TERM": "xterm-256color"}, True, 256),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, True, 2**24),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, True, 0),
        ({"COLORTERM": "truecolor", "NO_COLOR": ""}, True, 2**24),
        ({"COLORTERM": "truecolor"}, False, 0),
        ({"TERM": "dumb"}, True, 0),
    ],
)
def test_how_many_colours(environment: dict[str, str], is_terminal: bool, colours: int) -> None:
    assert colours_of(environment, is_terminal=is_terminal) == colours


def test_marks_below_each_line() -> None:
    found = list(lines(TEXT, VALUES, "c", 0))
    assert found[:4] == ["ab c↵", "#+ -=", "␛d", " -"]
    assert "'#' near 1" in found[-1]
    assert "near -1" in found[-1]
    assert "near -1" not in list(lines(TEXT, VALUES, "f", 0))[-1]


def test_items_begin_lines() -> None:
    found = list(lines(list("\nab\nc\nd"), np.zeros(7), "c", 0, begins={0, 3}))
    assert [line for line in found if line][:3] == ["↵ab", "↵c↵", "d"]


def test_true_colours() -> None:
    first = next(lines(TEXT, VALUES, "c", 2**24))
    red, green, blue = DARK.high
    assert first.startswith(f"\x1b[38;2;244;244;242;48;2;{red};{green};{blue}ma")
    assert first.endswith("\x1b[0m")
    assert re.sub(r"\x1b\[[0-9;]*m", "", first) == "ab c↵"


def test_256_colours() -> None:
    first = next(lines(TEXT, VALUES, "c", 256))
    assert first.startswith("\x1b[38;5;255;48;5;130ma")
    assert re.sub(r"\x1b\[[0-9;]*m", "", first) == "ab c↵"


def test_nothing_of_the_text_is_obeyed() -> None:
    for colours in (0, 256, 2**24):
        shown = "".join(lines(list("\x1b[2J\x07\x9b"), np.zeros(6), "c", colours))
        assert not re.search(r"[\x00-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)", shown)


def test_blanks_of_all_kinds_are_blanks() -> None:
    shown = next(lines(list("a\u00a0b\u2009c"), np.zeros(5), "c", 0))
    assert shown == "a\u00a0b\u2009c"
