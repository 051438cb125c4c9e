"""What there is to know about each setting, read from the classes of `settings`."""

import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from operator import attrgetter
from typing import Any, Literal

from charlstm.config.settings import Config


@dataclass(frozen=True)
class Setting:
    """What is known about one setting; ``path`` is its dotted name, ``model.cell``."""

    path: str
    annotation: Any
    default: Any
    comment: str
    may_change: bool
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    is_path: bool = False
    auto: bool = False
    """Whether it may be ``auto`` until the text is known."""

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def alternatives(self) -> tuple[Any, ...]:
        """The types a value may have; a Literal stands for its words."""
        return self._stated_types + ((Literal["auto"],) if self.auto else ())

    @property
    def _stated_types(self) -> tuple[Any, ...]:
        if typing.get_origin(self.annotation) in (types.UnionType, typing.Union):
            return typing.get_args(self.annotation)
        return (self.annotation,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words a value may be; empty when it is not a word."""
        words = (typing.get_args(kind) for kind in self.alternatives if is_literal(kind))
        return tuple(itertools.chain.from_iterable(words))

    @property
    def type_text(self) -> str:
        return " or ".join(_kind_text(kind) for kind in self.alternatives)

    @property
    def range_text(self) -> str:
        """``at least 0 and below 1``; empty when every value will do."""
        words = ("at least", "above", "at most", "below")
        limits = (self.low, self.above, self.high, self.below)
        pairs = zip(words, limits, strict=True)
        return " and ".join(f"{word} {limit}" for word, limit in pairs if limit is not None)

    def contains(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _kind_text(kind: Any) -> str:
    if is_literal(kind):
        words = typing.get_args(kind)
        return f"one of {', '.join(words)}" if len(words) > 1 else str(words[0])
    names = {int: "a whole number", float: "a number", str: "text", types.NoneType: "null"}
    names[bool] = "true or false"
    return names.get(kind, "text or a list of texts")


def _settings_of(group: type, prefix: str = "") -> Iterator[Setting]:
    annotations = typing.get_type_hints(group)
    for item in fields(group):
        annotation = annotations[item.name]
        if is_dataclass(annotation):
            yield from _settings_of(typing.cast(type, annotation), f"{item.name}.")
        else:
            yield Setting(f"{prefix}{item.name}", annotation, item.default, **item.metadata)


SETTINGS = {schema.path: schema for schema in _settings_of(Config)}
GROUPS: dict[str, type] = {
    name: kind
    for name, kind in typing.get_type_hints(Config).items()
    if isinstance(kind, type) and is_dataclass(kind)
}


def all_settings() -> tuple[Setting, ...]:
    """Every setting in the order of the classes, for completion and documentation."""
    return tuple(SETTINGS.values())


def may_change(path: str) -> bool:
    """Whether a resumed run may differ from its checkpoint in this setting."""
    return SETTINGS[path].may_change


def differences(a: Config, b: Config) -> list[tuple[str, Any, Any]]:
    """The settings that differ: (path, value in ``a``, value in ``b``)."""
    pairs = ((path, value_of(a, path), value_of(b, path)) for path in SETTINGS)
    return [(path, ours, theirs) for path, ours, theirs in pairs if ours != theirs]


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with other values of some settings, by their dotted names; not checked."""
    groups: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        groups.setdefault(group, {})[name] = value
    top = groups.pop("", {})
    inner = {name: replace(getattr(config, name), **given) for name, given in groups.items()}
    return replace(config, **inner, **top)


def value_of(config: Config, path: str) -> Any:
    return attrgetter(path)(config)
