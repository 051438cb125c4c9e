"""What ``charlstm train`` is told to learn from: texts, a configuration, or the folder of a run."""

import glob
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from charlstm.cli.streams import is_stream
from charlstm.config.reading import config_for_texts, is_config, load_config, starts_a_setting
from charlstm.config.schema import SETTINGS
from charlstm.config.settings import Config
from charlstm.errors import ConfigError
from charlstm.messages import show
from charlstm.saved.run_folder import RunFolder

CONFIG_SUFFIXES = (".yaml", ".yml")
PACKED = (".gz", ".bz2", ".xz", ".zst")
LARGEST_CONFIG = 100_000
_OVERRIDE = re.compile(r"[\w.]+=")


class Source(NamedTuple):
    """The words of a command line by kind; ``settings``: a file with them, of ``run`` or not."""

    settings: Path | None
    run: RunFolder | None
    texts: tuple[str, ...]
    overrides: tuple[str, ...]

    def folder(self) -> Path:
        """Where the run goes unless the command line names a folder. Raises `ConfigError`."""
        folder = self.config(self.texts).output.folder
        told = any(word.startswith("output.directory=") for word in self.overrides)
        if self.run is not None and not told:
            return self.run.path
        name = self.settings.stem if self.settings else _name_of(self.texts)
        return folder or Path("runs") / name

    def config(self, texts: Sequence[str]) -> Config:
        """The settings for ``texts``: those named, or the files that hold them now.

        Raises `ConfigError`.
        """
        if self.settings is None:
            return config_for_texts(texts, self.overrides)
        try:
            return load_config(self.settings, self.overrides, texts)
        except ConfigError as error:
            if _resembles_a_text(self.settings):
                as_text = shlex.quote(show(self.settings))
                advice = f"if it is a text, train on it with: charlstm train - < {as_text}"
                raise ConfigError(f"{error}; {advice}") from None
            raise


def source_of(arguments: Sequence[str]) -> Source:
    """Tell the kinds apart. Raises `ConfigError` for what is none of them."""
    overrides = tuple(word for word in arguments if _is_override(word))
    names = tuple(word for word in arguments if word not in overrides)
    if not names:
        raise ConfigError(f"{arguments[0]}: name a text or a configuration before KEY=VALUE")
    first = Path(names[0])
    run = _run_of(first)
    if run is not None or _holds_settings(first):
        source = Source(run.config if run else first, run, names[1:], overrides)
    else:
        source = Source(None, None, names, overrides)
    for name in source.texts:
        _check_text(name)
    return source


def _is_override(word: str) -> bool:
    """Also one without its value, about which its reader can say more."""
    return bool(_OVERRIDE.match(word) or word in SETTINGS) and not _exists(word)


def _run_of(path: Path) -> RunFolder | None:
    """The run whose folder, or whose config.yaml, this is."""
    run = RunFolder(path if path.is_dir() else path.parent)
    is_its_file = path.name == run.config.name and _exists(path)
    return run if (path.is_dir() or is_its_file) and run.has_begun() else None


def _holds_settings(path: Path) -> bool:
    if path.suffix in CONFIG_SUFFIXES:
        return True
    content = _beginning(path)
    return len(content) <= LARGEST_CONFIG and is_config(content)


def _resembles_a_text(path: Path) -> bool:
    beginning = _beginning(path)
    return bool(beginning.strip()) and not starts_a_setting(beginning)


def _beginning(path: Path) -> bytes:
    """`LARGEST_CONFIG` bytes and one, if there are; none of what its reader must explain."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(LARGEST_CONFIG + 1)
    except (OSError, ValueError):
        return b""


def _check_text(name: str) -> None:
    path = Path(name)
    if is_stream(name) or (not _exists(name) and glob.glob(name, recursive=True)):  # noqa: PTH207
        return
    if _holds_settings(path):
        raise ConfigError(f"{show(name)}: a configuration comes first, and alone")
    if path.is_dir():
        advice = f"name its texts, as in {show(path / '*.txt')}"
        raise ConfigError(f"{show(name)} is a folder without a run in it; {advice}")
    if not _exists(name):
        advice = "name a text, a configuration (.yaml) or the folder of a run"
        raise ConfigError(f"{show(name)}: no such file; {advice}")


def _name_of(texts: Sequence[str]) -> str:
    """What to call a run on these: by the first, or for a glob by its folder."""
    name, more = texts[0], len(texts) - 1
    path = Path(name)
    if is_stream(name):
        stem = "text"
    elif glob.has_magic(name) and not _exists(name):
        stem = next((part for part in reversed(path.parts[:-1]) if not glob.has_magic(part)), "")
    else:
        stem = Path(path.stem).stem if path.suffix in PACKED else path.stem
    return (stem.strip("/") or "texts") + (f"-and-{more}-more" if more else "")


def _exists(name: str | Path) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False
