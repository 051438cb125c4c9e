"""Values, paths, counts and times as a user reads them: one printable line."""

import reprlib
from pathlib import Path

_short_repr = reprlib.Repr()
_short_repr.maxstring = 40
_short_repr.maxother = 40
_short_repr.maxlong = 40


def shorten(value: object) -> str:
    """``repr`` of at most about 40 characters.

    The ``repr`` of a YAML alias bomb grows exponentially, so messages never contain a full one.
    """
    text = _short_repr.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def show(path: Path) -> str:
    """The path for a message: one line, no control characters, whatever the name holds."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


LONGEST_SHOWN = 200


def shown(path: str | Path) -> str:
    """A path as messages print it: on one line, of bounded length, without control characters."""
    text = str(path)
    if len(text) > LONGEST_SHOWN:
        text = "..." + text[-LONGEST_SHOWN:]
    return text if text.isprintable() else ascii(text)


def figure(value: float, digits: int) -> str:
    """With so many digits after the point; a loss out of all bounds without a line of digits."""
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """``42 s``, ``9 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
