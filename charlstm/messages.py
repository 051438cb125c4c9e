"""Values, paths, counts and times as a user reads them: one printable line."""

import difflib
import json
import math
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

LONGEST_PATH = 200

_short_repr = reprlib.Repr()
_short_repr.maxstring = 40
_short_repr.maxother = 40
_short_repr.maxlong = 40


def printable(text: str, keep: str = "") -> str:
    r"""The text with what could not be seen, or would move a cursor or turn a line around, as its
    escape: ``\n``, ``\x1b``, ``\u202e``. ``keep``: which of those characters stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def shorten(value: object) -> str:
    """``repr`` of at most about 40 characters.

    The ``repr`` of a YAML alias bomb grows exponentially, so messages never contain a full one.
    """
    text = _short_repr.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def show(path: str | Path) -> str:
    """A path for a message: one printable line, and of a very long one the end."""
    text = str(path)
    if len(text) > LONGEST_PATH:
        text = "..." + text[-LONGEST_PATH:]
    return printable(text)


def listed(paths: Sequence[Path]) -> str:
    """All of them, as they are."""
    return ", ".join(map(str, paths))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    near = difflib.get_close_matches(word[:60], list(known), 1)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """``did you mean 'hidden_size'?``; ``otherwise`` where nothing known is near."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else otherwise


def json_text(value: object) -> str:
    """One line of JSON, which has no NaN and no infinity: ``null`` stands for them."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_without_what_json_lacks(value), allow_nan=False)


def _without_what_json_lacks(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_what_json_lacks(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_what_json_lacks(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def figure(value: float, digits: int) -> str:
    """With so many digits after the point; a loss out of all bounds without a line of digits."""
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """``42 s``, ``9 min``, ``3.5 h``, ``120 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 36_000:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 3600:.0f} h"


def without_surrogates(text: str) -> str:
    r"""For JSON, which cannot say what is no Unicode: such bytes become the four letters \xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
