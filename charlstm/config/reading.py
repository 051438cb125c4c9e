"""From YAML files, overrides and checkpoints to a checked `Config`."""

import os
import re
import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import IO, Any

from charlstm.config import strict_yaml
from charlstm.config.schema import GROUPS, SETTINGS
from charlstm.config.settings import Config, conflicts
from charlstm.config.strict_yaml import config_error
from charlstm.config.usual_names import usual
from charlstm.config.values import Given, checked, show_value
from charlstm.errors import ConfigError
from charlstm.messages import nearest, shorten

_NAMES = "|".join([*GROUPS, *(name for name in SETTINGS if "." not in name)])
_STARTS_A_SETTING = re.compile(rf"^(?:{_NAMES}) *:".encode(), re.MULTILINE)
PATIENCE_WITH_A_WRITER = 2  # seconds; one that was started beside us may come after us


def load_config(path: Path, overrides: Sequence[str] = (), texts: Sequence[str] = ()) -> Config:
    """Read a config file; ``overrides`` such as ``model.layers=3`` replace its settings, and
    ``texts`` its ``data.files``.

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
    given |= _files(texts) if texts else {}
    given.update(_parse_override(override) for override in overrides)
    return _build(given, source)


def config_for_texts(texts: Sequence[str], overrides: Sequence[str] = ()) -> Config:
    """The defaults for texts and globs, with ``overrides``. Raises ``ConfigError``."""
    return _build(_files(texts) | dict(map(_parse_override, overrides)), "the settings")


def is_config(content: bytes) -> bool:
    """Whether a file is a config by what it holds: a mapping with a name that we know."""
    if not starts_a_setting(content):
        return False
    try:
        found = strict_yaml.load(content, "").values
    except ConfigError:
        return False
    return any(name in GROUPS or name in SETTINGS for name in found)


def starts_a_setting(content: bytes) -> bool:
    """Whether any line does, however the file goes on."""
    return bool(_STARTS_A_SETTING.search(content))


def config_from_dict(
    values: Mapping[str, object], source: str, folder: Path | None = None
) -> Config:
    """The config that ``config_to_dict`` turned into ``values``, checked.

    Relative paths are seen from ``folder``; without one, paths are left alone. ``source`` begins
    the messages, for instance a checkpoint's name. Raises ``ConfigError``.
    """
    if not isinstance(values, Mapping):
        raise config_error(source, f"expected settings, found {show_value(values)}")
    given = _flatten(values, lambda key: source)
    return _build({path: it._replace(folder=folder) for path, it in given.items()}, source)


def _files(texts: Sequence[str]) -> dict[str, Given]:
    return {"data.files": Given(list(texts), "the texts", Path.cwd())}


def _read_file(path: Path) -> bytes:
    try:
        with open(path, "rb", buffering=0, opener=without_waiting) as file:
            first = first_byte(file)
            if first == b"" and path.is_fifo():
                raise config_error(str(path), "is a pipe, and nobody writes into it")
            with open(file.fileno(), "rb", closefd=False) as rest:
                return (first or b"") + rest.read(strict_yaml.MAX_SIZE)
    except OSError as error:
        problem = f"cannot read the configuration: {error.strerror or 'unreadable'}"
        raise config_error(str(path), problem) from None
    except ValueError:
        raise config_error(str(path), "not a file name") from None


def without_waiting(path: str, flags: int) -> int:
    """Opening a pipe would wait until somebody opens its other end, perhaps for ever."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def first_byte(file: IO[bytes]) -> bytes | None:
    """Of a file opened `without_waiting`: of a pipe ``b""`` where nobody writes into it, None where
    somebody has not yet. What is read after it is waited for.
    """
    something = select.poll()
    something.register(file, select.POLLIN)
    something.poll(1000 * PATIENCE_WITH_A_WRITER)
    first: bytes | None = file.read(1)
    os.set_blocking(file.fileno(), True)
    return first


def _flatten(
    values: Mapping[str, object], place: Callable[[tuple[str, ...]], str]
) -> dict[str, Given]:
    """Settings by dotted name; refuses names that do not exist."""
    given: dict[str, Given] = {}
    for name, value in values.items():
        where = place((name,))
        if name not in GROUPS:
            _require_top_level(str(name), where)
            given[name] = Given(value, where)
        elif isinstance(value, Mapping):
            for inner_name, inner in value.items():
                inner_where = place((name, inner_name))
                _require_setting(f"{name}.{inner_name}", inner_where)
                given[f"{name}.{inner_name}"] = Given(inner, inner_where)
        elif value is not None:  # a group whose lines are all commented out
            problem = f"expected settings below it, found {show_value(value)}"
            raise config_error(where, f"{name}: {problem}")
    return given


def _parse_override(override: str) -> tuple[str, Given]:
    where = f"override {shorten(override)}"
    path, equals, text = override.partition("=")
    if not equals:
        raise config_error(where, "expected KEY=VALUE, such as model.layers=3")
    if path in GROUPS:
        first = next(name for name in SETTINGS if name.startswith(f"{path}."))
        raise config_error(where, f"{path} is a group of settings; set one of them: {first}=...")
    _require_setting(path, where)
    return path, Given(strict_yaml.parse_value(text, where), where, Path.cwd())


def _require_top_level(name: str, where: str) -> None:
    _require_setting(name, where)
    group, dot, inner = name.partition(".")
    if dot:
        raise config_error(where, f"write {name!r} as '{group}:' with '{inner}:' below it")


def _require_setting(path: str, where: str) -> None:
    if path in SETTINGS:
        return
    group, _, name = path.rpartition(".")
    in_group = group in GROUPS
    near = _nearest(path, group if in_group else "")
    advice = f"did you mean {near!r}?" if near else "'charlstm config' lists all settings"
    problem = f"unknown setting {shorten(name if in_group else path)}; {advice}"
    raise config_error(where, f"{group}: {problem}" if in_group else problem)


def _nearest(path: str, group: str) -> str | None:
    """The setting that was probably meant: in the same group, elsewhere, or by its whole path."""
    if len(path) > 60:
        return None
    name = path.rpartition(".")[2]
    meant = usual(name)
    if meant in SETTINGS:
        return meant.removeprefix(f"{group}.") if group else meant
    prefix = f"{group}." if group else ""
    siblings = [known.removeprefix(prefix) for known in SETTINGS if known.startswith(prefix)]
    if not group:
        siblings = [known for known in siblings if "." not in known] + list(GROUPS)
    namesakes = [known for known in SETTINGS if known.rpartition(".")[2] == name]
    return (
        nearest(name if group else path, siblings)
        or next(iter(namesakes), None)
        or nearest(path, SETTINGS)
    )


def _build(given: Mapping[str, Given], source: str) -> Config:
    values = {path: schema.default for path, schema in SETTINGS.items()}
    values |= {path: checked(SETTINGS[path], found) for path, found in given.items()}
    if values["data.files"] is MISSING:
        raise config_error(source, "data.files: is required: name the text to learn from")
    config = _assemble(values)
    for path, problem in conflicts(config):
        raise config_error(given[path].where if path in given else source, f"{path}: {problem}")
    return config


def _assemble(values: Mapping[str, Any]) -> Config:
    def group(kind: type, prefix: str) -> Any:
        return kind(**{item.name: values[prefix + item.name] for item in fields(kind)})

    groups = {name: group(kind, f"{name}.") for name, kind in GROUPS.items()}
    top = {path: value for path, value in values.items() if "." not in path}
    return Config(**top, **groups)


def defaults_beside(config: Config) -> Config:
    """The defaults for the same text: data.files has none."""
    required = {"data": {"files": list(config.data.files)}}
    return config_from_dict(required, "defaults")
