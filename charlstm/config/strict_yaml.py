"""YAML as people mean it, read safely: any input gives a plain dict or one line of complaint.

PyYAML is used only as far as its parser, which reports scalars, lists and mappings with their
lines. What they mean is decided here, since YAML 1.1 has surprises: ``1e-3`` is text to PyYAML,
``12:30`` is 750, ``017`` is 15, ``no`` is false, and of two equal keys the last one wins silently.

Read here: numbers in decimal notation, ``true`` and ``false``, ``null``, ``~`` and nothing at all;
every other unquoted scalar is text, so that whoever checks types can complain about it. Aliases,
anchors, tags and merge keys are refused: no config needs them, and a few hundred bytes of aliases
stand for gigabytes. Size, depth and number of values are bounded. The parser is PyYAML's Python
one even where libyaml is installed, so that a file means the same on every machine.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import yaml

from charlstm.errors import ConfigError
from charlstm.messages import printable, shorten

MAX_SIZE = 1_000_000
MAX_DEPTH = 16
MAX_EVENTS = 20_000
MAX_MESSAGE = 300

_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{
        sign + word: float(sign + "inf")
        for sign in ("", "+", "-")
        for word in (".inf", ".Inf", ".INF")
    },
}
# No leading zeros, so 017 stays text; underscores only between groups of three digits: 10_000.
_WHOLE = r"(?:0|[1-9][0-9]{0,2}(?:_[0-9]{3})+|[1-9][0-9]*)"
_INTEGER = re.compile(rf"[-+]?{_WHOLE}")
_FLOAT = re.compile(rf"[-+]?(?:\.[0-9]+|{_WHOLE}(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAX_DIGITS = 40  # beyond, an integer stays text: int() refuses more than 4,300 digits


@dataclass(frozen=True)
class Document:
    """The settings of one file, and the line of every key: ``lines["model", "cell"]``."""

    values: dict[str, object]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)


def load(text: bytes | str, source: str) -> Document:
    """Read one YAML document whose root is a mapping; an empty one has no settings.

    ``source`` is the file's name in messages. Anything else raises ``ConfigError`` with one line
    of at most 300 characters: ``config.yaml:7:3: 'seed' is given twice, first in line 2``.
    """
    if len(text) > MAX_SIZE:
        problem = f"larger than {MAX_SIZE:,} bytes, which is no configuration"
        raise config_error(source, problem)
    if isinstance(text, bytes):
        text = _decode(text, source)
    builder = _Builder(text.removeprefix("\ufeff"), source)
    root = builder.document()
    if root is None:
        return Document({})
    if not isinstance(root, dict):
        raise config_error(source, "expected lines such as 'setting: value'")
    return Document(root, builder.lines)


def parse_scalar(text: str) -> object:
    """What an unquoted scalar means: None, a bool, an int, a float, or the text itself.

    >>> [parse_scalar(text) for text in ("1e-3", "7", "true", "12:30", "017", "no")]
    [0.001, 7, True, '12:30', '017', 'no']
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _MAX_DIGITS else text
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def parse_value(text: str, source: str) -> object:
    """A value given on the command line: a scalar, a quoted text, or a list ``[a.txt, b.txt]``.

    Text that does not begin with a quote or a bracket is taken as it stands, so a path may hold
    ``#`` or ``: ``, which would mean something in a file. Raises ``ConfigError`` when a quote or
    a list is not closed, or the text is not valid Unicode.
    """
    if len(text) > MAX_SIZE:
        raise config_error(source, "the value is too long")
    if text.startswith(("[", "{", '"', "'")):
        return _Builder(text, source).document()
    value = parse_scalar(text)
    return _without_surrogates(value, source) if isinstance(value, str) else value


def config_error(where: str, problem: str) -> ConfigError:
    """A one-line error without control characters, of at most 300 characters."""
    if len(where) > 100:
        where = "..." + where[-97:]
    where = _limited(where, 130)
    return ConfigError(f"{where}: {_limited(problem, MAX_MESSAGE - 2 - len(where))}")


def _limited(text: str, limit: int) -> str:
    text = printable(text[:limit])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _decode(content: bytes, source: str) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise config_error(source, "is UTF-16 or UTF-32 text; save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"not valid UTF-8 at byte offset {error.start} (0x{content[error.start]:02x})"
        raise config_error(f"{source}:{line}", problem) from None


def _without_surrogates(text: str, where: str) -> str:
    """Join escaped surrogate pairs, which JSON writers use; refuse single halves."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise config_error(where, f"not valid Unicode text: {shorten(text)}") from None


class _Mark(Protocol):
    """A place in the text; counts from 0."""

    line: int
    column: int


class _Builder:
    """Builds plain values from the parser's events."""

    def __init__(self, text: str, source: str) -> None:
        self.lines: dict[tuple[str, ...], int] = {}
        self._source = source
        self._events = self._checked_events(text)

    def document(self) -> object:
        """The only document; None when there is none."""
        next(self._events)  # the stream's start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._value(next(self._events), ())
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event.start_mark, "a second document begins here; one file, one document")
        return root

    def _value(self, event: yaml.Event, path: tuple[str, ...]) -> object:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        if event.style is None:
            return parse_scalar(event.value)
        return self._text(event)

    def _list(self, path: tuple[str, ...]) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, str(len(values)))))
        return values

    def _mapping(self, path: tuple[str, ...]) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name = self._key(event)
            key = (*path, name)
            if name in values:
                problem = f"{shorten(name)} is given twice, first in line {self.lines[key]}"
                self._refuse(event.start_mark, problem)
            assert event.start_mark is not None  # only hand-made events lack it
            self.lines[key] = event.start_mark.line + 1
            values[name] = self._value(next(self._events), key)
        return values

    def _key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._refuse(event.start_mark, "the name of a setting must be plain text")
        if event.style is None and event.value == "<<":
            self._refuse(event.start_mark, "merge keys (<<) are not read; write the settings out")
        return self._text(event)

    def _text(self, event: yaml.ScalarEvent) -> str:
        return _without_surrogates(event.value, self._place(event.start_mark))

    def _checked_events(self, text: str) -> Iterator[yaml.Event]:
        depth = 0
        try:
            for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
                depth += isinstance(event, yaml.CollectionStartEvent)
                depth -= isinstance(event, yaml.CollectionEndEvent)
                if depth > MAX_DEPTH or count > MAX_EVENTS:
                    self._refuse(event.start_mark, "nested too deeply, or too many values")
                self._refuse_references(event)
                yield event
        except yaml.MarkedYAMLError as error:
            self._refuse(error.problem_mark or error.context_mark, _explain(error))
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            line, column = before.count("\n") + 1, error.position - before.rfind("\n")
            problem = f"the character U+{ord(text[error.position]):04X} is not allowed"
            raise config_error(f"{self._source}:{line}:{column}", problem) from None
        except (ValueError, OverflowError):
            # \U00110000 in a quoted text, or a %YAML version of 5,000 digits
            raise config_error(self._source, "not YAML: a number is out of range") from None

    def _refuse_references(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event.start_mark, "aliases are not read; quote text that begins with *")
        if getattr(event, "anchor", None) is not None:
            self._refuse(event.start_mark, "anchors are not read; quote text that begins with &")
        if getattr(event, "tag", None) is not None:
            self._refuse(event.start_mark, "tags are not read; quote text that begins with !")

    def _place(self, mark: _Mark | None) -> str:
        if mark is None:
            return self._source
        return f"{self._source}:{mark.line + 1}:{mark.column + 1}"

    def _refuse(self, mark: _Mark | None, problem: str) -> NoReturn:
        raise config_error(self._place(mark), problem) from None


def _explain(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's message, and what to do about the commonest mistakes."""
    problem = error.problem or error.context or "not YAML"
    if "'\\t'" in problem:
        return "indented with a tab; use spaces"
    if error.context == "while scanning an alias":
        return "text that begins with * needs quotes"
    if problem.startswith("mapping values are not allowed"):
        return "a colon in an unexpected place; check the indentation, or quote the text"
    return f"not YAML: {problem}"
