"""Train and explore character-level LSTMs in pure NumPy."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FROM_API = ("Model", "Pace", "Score", "Selection", "Training", "load", "train")


def __getattr__(name: str) -> Any:
    """Names of `charlstm.api`, imported (and NumPy with them) when one is asked for."""
    if name in _FROM_API:
        return getattr(import_module("charlstm.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_FROM_API])
