"""What `charlstm.api.train` is given: settings in several forms, a folder, and words for errors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from charlstm.config.reading import config_from_dict, load_config
from charlstm.config.settings import Config
from charlstm.config.writing import config_to_dict
from charlstm.errors import ConfigError, UserError

Name = str | PathLike[str]


def config_of(config: Name | Mapping[str, Any] | Config, settings: Mapping[str, Any]) -> Config:
    if isinstance(config, str | PathLike):
        config = load_config(Path(config))
        if not settings:
            return config
    values = config_to_dict(config) if isinstance(config, Config) else dict(config)
    for name, value in settings.items():
        group = values.get(name)
        merge = isinstance(group, Mapping) and isinstance(value, Mapping)
        values[name] = dict(group or {}) | dict(value) if merge else value
    return config_from_dict(values, "settings", Path.cwd())


@contextmanager
def in_the_words_of_python() -> Iterator[None]:
    """Errors below speak of the command's options; here they are arguments."""
    try:
        yield
    except UserError as error:
        message = _with_arguments(str(error))
        if message == str(error):
            raise
        raise type(error)(message) from error


def _with_arguments(message: str) -> str:
    message = re.sub(r"(?<!\S)--out\b", "out=", message)
    return re.sub(r"(?<!\S)--(resume|overwrite)\b", r"\1=True", message)


def folder_of(config: object, checked: Config, out: Name | None) -> Path:
    if out == "":
        raise ConfigError("train: out: the name is empty; write '.' for the working directory")
    if out is not None:
        return Path(out)
    if checked.output.folder is not None:
        return checked.output.folder
    if isinstance(config, str | PathLike):
        return Path("runs") / Path(config).stem
    raise ConfigError("train: name the folder of the run: out=...")
