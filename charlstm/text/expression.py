"""Regular expressions, compiled to automata over the characters of a vocabulary (extra: patterns).

The expressions are Python's, as far as they are regular: see docs/sampling.md. They may come from
anybody, and a short one can have a billion states; so a process of its own compiles them, with an
end to its memory and its time.
"""

import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import ConfigError, SystemRefusedError
from charlstm.messages import json_text, shorten

SECONDS = 10
MEGABYTES = 1_000
_COMPILER = Path(__file__).with_name("expression_compiler.py")
_ADVICE = {  # what the library takes for something else than Python does
    "empty": "write ] as \\] at the beginning of a class",
    "ahead": "look-ahead is not supported",
}
_PIECE = re.compile(
    r"\\. | \[ (?!\^?\]) (?:\\. | [^\]\\])+ \] | (?P<empty>\[\^?\]) | (?P<ahead>\(\?[=!])",
    re.DOTALL | re.VERBOSE,
)
"""An escape and a class are passed over as wholes, so that `[a[]` is not taken for `[]`."""


class Compiled(NamedTuple):
    """State 0 is the first. ``after``: ``(S, V)``, the state after each character, -1 where none
    may follow; ``accepting``: ``(S,)``, where a text matches.
    """

    after: NDArray[np.int32]
    accepting: NDArray[np.bool_]


def compile_expression(expression: str, characters: Sequence[str]) -> Compiled:
    """An automaton that accepts the texts of ``characters`` that match as a whole.

    Raises `ConfigError` for what cannot be compiled, `SystemRefusedError` without the extra.
    """
    _check(expression)
    whole = expression.removeprefix("^")
    if re.search(r"(?<!\\)(\\\\)*\$$", whole):
        whole = whole[:-1]
    request = json_text(
        {"expression": whole, "characters": list(characters), "megabytes": MEGABYTES}
    )
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_COMPILER)],
            input=request.encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_large(expression) from None
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().removeprefix("refused: ")
        if not done.stderr.startswith(b"refused: "):
            raise _too_large(expression)
        raise ConfigError(f"the expression {shorten(expression)}: {reason}")
    states, size = np.frombuffer(done.stdout, np.int32, 2)
    table = np.frombuffer(done.stdout, np.int32, offset=8).reshape(states, size + 1)
    return Compiled(table[:, :size], table[:, size].astype(np.bool_))


def _check(expression: str) -> None:
    """What Python's own compiler refuses it explains best."""
    if find_spec("interegular") is None:
        raise SystemRefusedError(
            "expressions need the package interegular, which is not installed:"
            " pip install 'charlstm[patterns]'"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # [[ may once mean something else
            re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"the expression {shorten(expression)}: {error}") from None
    kinds = (piece.lastgroup for piece in _PIECE.finditer(expression))
    if kind := next(filter(None, kinds), None):
        raise ConfigError(f"the expression {shorten(expression)}: {_ADVICE[kind]}")


def _too_large(expression: str) -> ConfigError:
    return ConfigError(
        f"the expression {shorten(expression)} takes more than {SECONDS} seconds or"
        f" {MEGABYTES:,} MB to compile; smaller counts make it smaller"
    )
