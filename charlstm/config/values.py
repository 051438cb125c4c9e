"""Checking one value of a setting: its type, its range, and where its paths begin."""

import glob
import math
import os
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from charlstm.config import strict_yaml
from charlstm.config.schema import Setting, is_literal
from charlstm.config.settings import LARGEST_INTEGER
from charlstm.config.strict_yaml import config_error
from charlstm.messages import did_you_mean, shorten


class Given(NamedTuple):
    """A value as it was found; ``where`` begins its error, ``folder`` its relative path."""

    value: object
    where: str
    folder: Path | None = None


def checked(schema: Setting, given: Given) -> Any:
    """The value in the setting's own type, with paths resolved; raises ``ConfigError``."""
    try:
        value = _converted(schema, given.value)
        if schema.is_path and given.folder is not None and value is not None:
            return _resolved(value, given.folder)
    except _UnfitError as error:
        raise config_error(given.where, f"{schema.path}: {error}") from None
    return value


class _UnfitError(Exception):
    """A value does not fit its setting; ``str`` says how."""


def _converted(schema: Setting, value: object) -> Any:
    for kind in schema.alternatives:
        if is_literal(kind):
            if isinstance(value, str) and value in typing.get_args(kind):
                return value
        elif kind in (types.NoneType, bool):
            if isinstance(value, kind):
                return value
        elif kind in (int, float):
            if type(value) is int or (kind is float and type(value) is float):
                return _number(schema, kind, typing.cast(float, value))
        elif kind is str:
            if isinstance(value, str):
                return _text(value)
        elif isinstance(value, str):
            return (_text(value),)
        elif isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
            return _texts(value)
    advice = _advice(schema, value)
    raise _UnfitError(f"expected {schema.type_text}, found {show_value(value)}{advice}")


def _number(schema: Setting, kind: type, value: float) -> float:
    if not (isinstance(value, int) or math.isfinite(value)):
        raise _UnfitError(f"expected a finite number, found {value}")
    if abs(value) > LARGEST_INTEGER and isinstance(value, int):
        raise _UnfitError(f"must be at most {LARGEST_INTEGER}, found {show_value(value)}")
    if not schema.contains(value):
        raise _UnfitError(f"must be {schema.range_text}, found {value}")
    return typing.cast(float, kind(value))


def _text(value: str) -> str:
    if not value:
        raise _UnfitError("must not be empty")
    if "\0" in value:
        raise _UnfitError("must not contain the character U+0000")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise _UnfitError(f"not valid Unicode text{_advice_on_locale()}")
    return value


def _advice_on_locale() -> str:
    """In the C locale, without Python's UTF-8 mode, no name beyond ASCII is read as what it is."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return ""
    return f"; this locale says that names are {encoding}: set LC_ALL=C.UTF-8, or PYTHONUTF8=1"


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    if not values:
        raise _UnfitError("must not be empty")
    return tuple(_text(value) for value in values)


def _advice(schema: Setting, value: object) -> str:
    """What to do about a value of the wrong type; empty when there is nothing to add."""
    takes_text = not schema.choices and not {bool, int, float} & set(schema.alternatives)
    if isinstance(value, str):
        near = did_you_mean(value, schema.choices)
        if near:
            return f"; {near}"
        if isinstance(strict_yaml.parse_scalar(value), int | float):
            return "; remove the quotes"
    elif isinstance(value, bool | int | float) and takes_text:
        return "; put it in quotes (in a shell in two: '\"...\"')"
    elif isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_INTEGER:
        return f"; write {int(value)}"
    return ""


def show_value(value: object) -> str:
    """A value as the user wrote it, of at most some 60 characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a group of settings"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    return shorten(value)


def _resolved(value: str | tuple[str, ...], folder: Path) -> str | tuple[str, ...]:
    if isinstance(value, tuple):
        return tuple(_text(_absolute(item, folder)) for item in value)
    return _text(_absolute(value, folder))


def _absolute(name: str, folder: Path) -> str:
    """``name`` seen from ``folder``; a glob stays one, whatever the folder is called."""
    name = os.path.expanduser(name)  # noqa: PTH111 - Path's raises for an unknown user
    path = os.path.normpath(folder / name)
    if glob.has_magic(name) and not os.path.lexists(path):
        return os.path.normpath(Path(glob.escape(str(folder))) / name)
    return path
