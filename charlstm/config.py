"""Every setting, with its default and one line on what it does; and YAML files that hold them.

The classes are the schema: names, types and choices come from their annotations, the rest from
``setting(...)``. The loader, the commented file that ``charlstm config`` prints and the shell
completion are made from them, so none of the three can go stale.
"""

import difflib
import glob
import itertools
import math
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from charlstm import strict_yaml
from charlstm.errors import shorten
from charlstm.strict_yaml import config_error

LARGEST_INTEGER = 2**63 - 1
SMALLEST_EPSILON = 1e-30  # well above the smallest float32, below which it would be 0


def setting(default: Any, comment: str, *, may_change: bool = False, **limits: Any) -> Any:
    """A field with the comment a user reads.

    ``may_change``: a resumed run may have another value than its checkpoint.
    ``limits``: ``low <= value <= high``, ``above < value < below``; ``is_path``.
    """
    metadata = {"comment": comment, "may_change": may_change, **limits}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The text and how it is read."""

    files: tuple[str, ...] = setting(
        MISSING,
        "required: text file, list, or glob; relative to this file",
        is_path=True,
        may_change=True,  # the same text may have moved; its hash decides
    )
    validation_fraction: float = setting(
        0.1, "last part of the text, for the validation loss", low=0, below=1
    )
    test_fraction: float = setting(
        0.0, "part after it, kept for a final evaluation", low=0, below=1
    )
    unit: Literal["characters", "bytes"] = setting("characters", "what the model reads and writes")
    newlines: Literal["keep", "normalize"] = setting("keep", "CR and CRLF line ends")
    normalize: Literal["none", "NFC"] = setting("none", "Unicode normalization")
    min_count: int = setting(1, "rarer characters are replaced", low=1)
    replacement: str = setting("\ufffd", "the character that replaces them")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network."""

    cell: Literal["lstm", "simple", "layer-norm"] = setting("lstm", "kind of LSTM")
    layers: int = setting(2, "LSTM layers, one on top of the other", low=1, high=1000)
    hidden_size: int = setting(128, "units in each layer", low=1, high=1_000_000)
    embedding_size: int = setting(
        0, "learned input vectors; 0: one-hot input", low=0, high=1_000_000
    )
    dropout: float = setting(0.0, "share of values dropped between layers", low=0, below=1)
    recurrent_dropout: float = setting(
        0.0, "share of new cell input g dropped (layer-norm only)", low=0, below=1
    )
    forget_bias: float = setting(1.0, "forget gate's bias at the start", low=-100, high=100)
    norm_epsilon: float = setting(
        1e-5, "added to the variance (layer-norm only)", low=SMALLEST_EPSILON, high=1
    )
    dtype: Literal["float32", "float64"] = setting("float32", "precision of all numbers")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How it learns."""

    epochs: float = setting(
        50.0,
        "passes over the training text; ignored when steps is set",
        above=0,
        high=1_000_000_000,
        may_change=True,
    )
    steps: int | None = setting(
        None, "length in steps instead (batches; one update each)", low=1, may_change=True
    )
    batch_size: int = setting(50, "streams of text read side by side", low=1, high=1_000_000)
    sequence_length: int = setting(
        50, "characters per step: truncated backpropagation", low=1, high=1_000_000
    )
    optimizer: Literal["sgd", "momentum", "rmsprop", "adagrad", "adam", "adamw"] = setting(
        "adam", "update rule"
    )
    learning_rate: float = setting(2e-3, "step size of an update", above=0, may_change=True)
    momentum: float = setting(0.9, "momentum: share of the last update kept", low=0, below=1)
    rmsprop_decay: float = setting(0.95, "rmsprop: memory of squared gradients", low=0, below=1)
    beta1: float = setting(0.9, "adam, adamw: memory of gradients", low=0, below=1)
    beta2: float = setting(0.999, "adam, adamw: memory of squared gradients", low=0, below=1)
    epsilon: float = setting(
        1e-8, "all but sgd and momentum: keeps divisors off 0", low=SMALLEST_EPSILON, high=1
    )
    weight_decay: float = setting(
        0.0, "adamw: pull of the weights towards 0", low=0, may_change=True
    )
    clip_norm: float = setting(
        5.0, "longest gradient, by its global norm; 0: off", low=0, may_change=True
    )
    clip_value: float = setting(
        0.0, "largest entry of the gradient instead; 0: off", low=0, may_change=True
    )
    early_stopping: int = setting(
        0, "stop after this many evaluations without a new best; 0: off", low=0, may_change=True
    )
    workers: int | Literal["auto"] = setting(
        "auto",
        "processes that share a batch; decides the rounding",
        low=1,
        may_change=True,
    )
    blas_threads: int | Literal["auto"] = setting(
        "auto", "threads of each process's matrix products", low=1, may_change=True
    )


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate changes."""

    kind: Literal["constant", "step", "exponential", "cosine", "plateau"] = setting(
        "constant", "shape", may_change=True
    )
    warmup_steps: int = setting(0, "steps of linear rise at the start", low=0, may_change=True)
    decay: float = setting(
        0.97, "step, exponential, plateau: factor of a decay", above=0, high=1, may_change=True
    )
    start_epoch: float = setting(
        10.0, "step: epochs before the first decay", low=0, high=1_000_000_000, may_change=True
    )
    every_epochs: float = setting(
        1.0, "step: epochs between decays", low=0.001, high=1_000_000_000, may_change=True
    )
    decay_steps: int = setting(1000, "exponential: steps for one factor", low=1, may_change=True)
    minimum: float = setting(0.0, "all but constant: lowest learning rate", low=0, may_change=True)
    patience: int = setting(
        2, "plateau: evaluations without improvement before a decay", low=1, may_change=True
    )
    threshold: float = setting(
        0.0, "plateau: least fall of the loss that counts", low=0, may_change=True
    )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """When the validation loss is computed."""

    every: int = setting(1000, "steps; 0: only at the end", low=0, may_change=True)


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is written, and where."""

    directory: str | None = setting(
        None, "run folder; null: runs/<name of this file>", may_change=True
    )
    report_every: int = setting(100, "steps between lines of metrics.jsonl", low=1, may_change=True)
    checkpoint_every: int = setting(
        1000, "steps between checkpoints; 0: only at the end", low=0, may_change=True
    )
    checkpoint_minutes: float = setting(
        0.0, "also after so many minutes; 0: off", low=0, may_change=True
    )
    keep: int = setting(2, "newest checkpoints kept, besides the best", low=1, may_change=True)
    milestone_every: int = setting(
        0, "steps between checkpoints that are never deleted; 0: off", low=0, may_change=True
    )
    sample_every: int = setting(
        0, "steps between samples in samples.txt; 0: off", low=0, may_change=True
    )
    sample_length: int = setting(200, "characters in such a sample", low=1, may_change=True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment. Made by ``load_config`` or ``config_from_dict``, which check it."""

    seed: int = setting(1, "of the initial weights, dropout and samples", low=0)
    init_from: str | None = setting(
        None, "start from the weights of this checkpoint or run", is_path=True
    )
    data: DataConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    output: OutputConfig = field(default_factory=OutputConfig)


def _conflicts(config: Config) -> Iterator[tuple[str, str]]:
    """Settings that are right alone but not together: (path to blame, problem)."""
    data, model, training, schedule = config.data, config.model, config.training, config.schedule
    held_out = data.validation_fraction + data.test_fraction
    evaluates = data.validation_fraction > 0 and config.evaluation.every > 0
    if held_out >= 1:
        yield "data.test_fraction", f"with validation_fraction makes {held_out:g}; must be below 1"
    if len(data.replacement) != 1:
        yield "data.replacement", f"must be one character, found {len(data.replacement)}"
    for name, neutral in {"newlines": "keep", "normalize": "none", "min_count": 1}.items():
        if data.unit == "bytes" and getattr(data, name) != neutral:
            yield f"data.{name}", f"bytes are taken as they are; use {neutral} or unit: characters"
    if model.recurrent_dropout > 0 and model.cell != "layer-norm":
        yield "model.recurrent_dropout", f"needs cell: layer-norm, found {model.cell}"
    if training.weight_decay > 0 and training.optimizer != "adamw":
        yield "training.weight_decay", f"needs optimizer: adamw, found {training.optimizer}"
    if training.clip_norm > 0 and training.clip_value > 0:
        yield "training.clip_value", "clip by norm or by value: set clip_norm or clip_value to 0"
    if training.early_stopping > 0 and not evaluates:
        yield "training.early_stopping", "needs validation_fraction and evaluation.every above 0"
    if schedule.kind == "plateau" and not evaluates:
        yield "schedule.kind", "plateau needs validation_fraction and evaluation.every above 0"
    if schedule.kind != "constant" and schedule.minimum > training.learning_rate:
        yield "schedule.minimum", f"must not exceed learning_rate, {training.learning_rate:g}"
    if training.steps is not None and schedule.warmup_steps >= training.steps:
        yield "schedule.warmup_steps", f"must be below training.steps, {training.steps}"


# ---------------------------------------------------------------------------------------------
# The schema, read from the classes above


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

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def alternatives(self) -> tuple[Any, ...]:
        """The types a value may have; a Literal stands for its words."""
        if typing.get_origin(self.annotation) in (types.UnionType, typing.Union):
            return typing.get_args(self.annotation)
        return (self.annotation,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The words a value may be; empty when it is not a word."""
        words = (typing.get_args(kind) for kind in self.alternatives if _is_literal(kind))
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


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _kind_text(kind: Any) -> str:
    if _is_literal(kind):
        words = typing.get_args(kind)
        return f"one of {', '.join(words)}" if len(words) > 1 else str(words[0])
    names = {int: "a whole number", float: "a number", str: "text", types.NoneType: "null"}
    return names.get(kind, "text or a list of texts")


def _settings_of(group: type, prefix: str = "") -> Iterator[Setting]:
    annotations = typing.get_type_hints(group)
    for item in fields(group):
        annotation = annotations[item.name]
        if is_dataclass(annotation):
            yield from _settings_of(typing.cast(type, annotation), f"{item.name}.")
        else:
            yield Setting(f"{prefix}{item.name}", annotation, item.default, **item.metadata)


_SETTINGS = {schema.path: schema for schema in _settings_of(Config)}
_GROUPS: dict[str, type] = {
    name: kind
    for name, kind in typing.get_type_hints(Config).items()
    if isinstance(kind, type) and is_dataclass(kind)
}


def setting_paths() -> tuple[Setting, ...]:
    """Every setting in the order of the classes, for completion and documentation."""
    return tuple(_SETTINGS.values())


def may_change(path: str) -> bool:
    """Whether a resumed run may differ from its checkpoint in this setting."""
    return _SETTINGS[path].may_change


def differences(a: Config, b: Config) -> list[tuple[str, Any, Any]]:
    """The settings that differ: (path, value in ``a``, value in ``b``)."""
    pairs = ((path, _value_of(a, path), _value_of(b, path)) for path in _SETTINGS)
    return [(path, ours, theirs) for path, ours, theirs in pairs if ours != theirs]


def _value_of(config: Config, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


# ---------------------------------------------------------------------------------------------
# Reading


class _Given(NamedTuple):
    """A value as it was found; ``where`` begins its error, ``folder`` its relative path."""

    value: object
    where: str
    folder: Path | None = None


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file; ``overrides`` such as ``model.layers=3`` replace its settings.

    An override is read and checked like the file; of two for one setting the last one counts.
    Input paths are relative to the folder of the file they stand in, those of overrides to the
    working directory; the result holds absolute ones. ``output.directory`` is left as written.

    Raises ``ConfigError`` that names file and line, or the override.
    """
    source = str(path)
    document = strict_yaml.load(_read_file(path), source)
    folder = Path(os.path.realpath(path.parent))

    def place(key: tuple[str, ...]) -> str:
        return f"{source}:{document.lines[key]}"

    given = {
        name: found._replace(folder=folder)
        for name, found in _flatten(document.values, place).items()
    }
    given.update(_parse_override(override) for override in overrides)
    return _build(given, source)


def config_from_dict(
    values: Mapping[str, object], source: str, folder: Path | None = None
) -> Config:
    """The config that ``config_to_dict`` turned into ``values``, checked.

    Relative paths are seen from ``folder``; without one, paths are left alone. ``source`` begins
    the messages, for instance a checkpoint's name. Raises ``ConfigError``.
    """
    if not isinstance(values, Mapping):
        raise config_error(source, f"expected settings, found {_show(values)}")
    given = _flatten(values, lambda key: source)
    return _build({path: it._replace(folder=folder) for path, it in given.items()}, source)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(strict_yaml.MAX_SIZE + 1)
    except OSError as error:
        problem = f"cannot read the configuration: {error.strerror or 'unreadable'}"
        raise config_error(str(path), problem) from None
    except ValueError:
        raise config_error(str(path), "not a file name") from None


def _flatten(
    values: Mapping[str, object], place: Callable[[tuple[str, ...]], str]
) -> dict[str, _Given]:
    """Settings by dotted name; refuses names that do not exist."""
    given: dict[str, _Given] = {}
    for name, value in values.items():
        where = place((name,))
        if name not in _GROUPS:
            _require_top_level(str(name), where)
            given[name] = _Given(value, where)
        elif isinstance(value, Mapping):
            for inner_name, inner in value.items():
                inner_where = place((name, inner_name))
                _require_setting(f"{name}.{inner_name}", inner_where)
                given[f"{name}.{inner_name}"] = _Given(inner, inner_where)
        elif value is not None:  # a group whose lines are all commented out
            problem = f"expected settings below it, found {_show(value)}"
            raise config_error(where, f"{name}: {problem}")
    return given


def _parse_override(override: str) -> tuple[str, _Given]:
    where = f"override {shorten(override)}"
    path, equals, text = override.partition("=")
    if not equals:
        raise config_error(where, "expected KEY=VALUE, such as model.layers=3")
    if path in _GROUPS:
        first = next(name for name in _SETTINGS if name.startswith(f"{path}."))
        raise config_error(where, f"{path} is a group of settings; set one of them: {first}=...")
    _require_setting(path, where)
    return path, _Given(strict_yaml.parse_value(text, where), where, Path.cwd())


def _require_top_level(name: str, where: str) -> None:
    _require_setting(name, where)
    group, dot, inner = name.partition(".")
    if dot:
        raise config_error(where, f"write {name!r} as '{group}:' with '{inner}:' below it")


def _require_setting(path: str, where: str) -> None:
    if path in _SETTINGS:
        return
    group, _, name = path.rpartition(".")
    in_group = group in _GROUPS
    near = _nearest(path, group if in_group else "")
    advice = f"did you mean {near!r}?" if near else "'charlstm config' lists all settings"
    problem = f"unknown setting {shorten(name if in_group else path)}; {advice}"
    raise config_error(where, f"{group}: {problem}" if in_group else problem)


def _nearest(path: str, group: str) -> str | None:
    """The setting that was probably meant: in the same group, elsewhere, or by its whole path."""
    if len(path) > 60:
        return None
    name = path.rpartition(".")[2]
    prefix = f"{group}." if group else ""
    siblings = [known.removeprefix(prefix) for known in _SETTINGS if known.startswith(prefix)]
    if not group:
        siblings = [known for known in siblings if "." not in known] + list(_GROUPS)
    namesakes = [known for known in _SETTINGS if known.rpartition(".")[2] == name]
    candidates = (
        difflib.get_close_matches(name if group else path, siblings, 1)
        or namesakes
        or difflib.get_close_matches(path, _SETTINGS, 1)
    )
    return candidates[0] if candidates else None


def _build(given: Mapping[str, _Given], source: str) -> Config:
    values = {path: schema.default for path, schema in _SETTINGS.items()}
    values |= {path: _checked(_SETTINGS[path], found) for path, found in given.items()}
    if values["data.files"] is MISSING:
        raise config_error(source, "data.files: is required: name the text to learn from")
    config = _assemble(values)
    for path, problem in _conflicts(config):
        raise config_error(given[path].where if path in given else source, f"{path}: {problem}")
    return config


def _assemble(values: Mapping[str, Any]) -> Config:
    def group(kind: type, prefix: str) -> Any:
        return kind(**{item.name: values[prefix + item.name] for item in fields(kind)})

    groups = {name: group(kind, f"{name}.") for name, kind in _GROUPS.items()}
    top = {path: value for path, value in values.items() if "." not in path}
    return Config(**top, **groups)


# ---------------------------------------------------------------------------------------------
# Checking one value


def _checked(schema: Setting, given: _Given) -> Any:
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
        if _is_literal(kind):
            if isinstance(value, str) and value in typing.get_args(kind):
                return value
        elif kind is types.NoneType:
            if value is None:
                return None
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
    raise _UnfitError(f"expected {schema.type_text}, found {_show(value)}{advice}")


def _number(schema: Setting, kind: type, value: float) -> float:
    if not (isinstance(value, int) or math.isfinite(value)):
        raise _UnfitError(f"expected a finite number, found {value}")
    if abs(value) > LARGEST_INTEGER and isinstance(value, int):
        raise _UnfitError(f"must be at most {LARGEST_INTEGER}, found {_show(value)}")
    if not schema.contains(value):
        raise _UnfitError(f"must be {schema.range_text}, found {value}")
    return typing.cast(float, kind(value))


def _text(value: str) -> str:
    if not value:
        raise _UnfitError("must not be empty")
    if "\0" in value:
        raise _UnfitError("must not contain the character U+0000")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise _UnfitError("not valid Unicode text")
    return value


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    if not values:
        raise _UnfitError("must not be empty")
    return tuple(_text(value) for value in values)


def _advice(schema: Setting, value: object) -> str:
    """What to do about a value of the wrong type; empty when there is nothing to add."""
    takes_text = not schema.choices and not {int, float} & set(schema.alternatives)
    if isinstance(value, str):
        near = difflib.get_close_matches(value[:40], schema.choices, 1)
        if near:
            return f"; did you mean {near[0]!r}?"
        if isinstance(strict_yaml.parse_scalar(value), int | float):
            return "; remove the quotes"
    elif isinstance(value, bool | int | float) and takes_text:
        return "; put it in quotes (in a shell in two: '\"...\"')"
    elif isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_INTEGER:
        return f"; write {int(value)}"
    return ""


def _show(value: object) -> str:
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


# ---------------------------------------------------------------------------------------------
# Writing


def config_to_dict(config: Config) -> dict[str, Any]:
    """Nested plain values, as JSON can hold them; ``config_from_dict`` is the way back."""
    values: dict[str, Any] = {}
    for path in _SETTINGS:
        group, _, name = path.rpartition(".")
        value = _value_of(config, path)
        home = values.setdefault(group, {}) if group else values
        home[name] = list(value) if isinstance(value, tuple) else value
    return values


def dump_config(config: Config, comments: bool = True) -> str:
    """YAML text of every setting; loading it gives an equal config, by any YAML reader."""
    return _dump({path: _value_of(config, path) for path in _SETTINGS}, comments)


def default_config_text() -> str:
    """A file to start from: every setting with its default; ``data.files`` is left to the user."""
    head = "# Settings for charlstm train. Every line but data.files may be left out.\n\n"
    values = {path: None if item.required else item.default for path, item in _SETTINGS.items()}
    return head + _dump(values, comments=True)


def _dump(values: Mapping[str, Any], comments: bool) -> str:
    lines: list[str] = []
    current = ""
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        if group != current:
            heading = f"  # {(_GROUPS[group].__doc__ or '').rstrip('.')}" if comments else ""
            lines += ["", f"{group}:{heading}"]
            current = group
        indent = "  " if group else ""
        first, *more = _yaml_lines(value)
        line = f"{indent}{name}: {first}".rstrip()
        lines.append(f"{line:<35} # {_comment(_SETTINGS[path])}" if comments else line)
        lines += [f"{indent}  {item}" for item in more]
    return "\n".join(lines) + "\n"


def _comment(schema: Setting) -> str:
    choices = ", ".join(schema.choices)
    if not choices:
        return schema.comment
    others = f" (or {choices})" if int in schema.alternatives else f": {choices}"
    return schema.comment + others


def _yaml_lines(value: Any) -> list[str]:
    if not isinstance(value, tuple):
        return [_yaml_scalar(value)]
    if len(value) == 1:
        return [_yaml_scalar(value[0])]
    return ["", *(f"- {_yaml_scalar(item)}" for item in value)]


def _yaml_scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, float):
        # 1e-05 is a number to us, but text to YAML 1.1 readers; 1.0e-05 is one to everybody
        return re.sub(r"^(-?[0-9]+)e", r"\1.0e", repr(value))
    return str(value)


_PLAIN = re.compile(r"(?:\.{0,2}/)?[A-Za-z_][A-Za-z0-9_./*?+-]*")
_OTHER_READERS_CONVERT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def _yaml_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _OTHER_READERS_CONVERT:
        return text
    return '"' + "".join(_yaml_char(char) for char in text) + '"'


def _yaml_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable() and char != "\ufffd":  # U+FFFD looks like a damaged file
        return char
    if ord(char) > 0xFFFF:
        return f"\\U{ord(char):08x}"
    return f"\\u{ord(char):04x}"
