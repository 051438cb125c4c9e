"""Texts that can be read only once, from a pipe or ``<(...)``: kept in the folder of the run."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from charlstm.config.reading import first_byte, is_config, without_waiting
from charlstm.errors import ConfigError, FileError, RunFolderTakenError
from charlstm.messages import show
from charlstm.saved.run_folder import RunFolder
from charlstm.system.files import make_folder, write_new_stream

STANDARD_INPUT = "-"
BLOCK = 1 << 20
_DESCRIPTOR = re.compile(r"/dev/(?:stdin|fd/[0-9]+)|/proc/self/fd/[0-9]+")


def is_stream(name: str) -> bool:
    """Whether a second look at this name would find nothing more."""
    try:
        return name == STANDARD_INPUT or bool(_DESCRIPTOR.fullmatch(name)) or Path(name).is_fifo()
    except (OSError, ValueError):
        return False


@contextmanager
def texts_in_files(
    texts: Sequence[str], folder: Path, *, dry_run: bool
) -> Iterator[tuple[str, ...]]:
    """The texts, with the name of the file that now holds it for each that was a stream.

    It lies in ``folder``, or for a dry run in a place of its own until the end. Raises `FileError`
    for an empty stream, `ConfigError` for one that holds settings, `RunFolderTakenError` where the
    folder holds another text, and `SystemRefusedError`.
    """
    names = (f"text-{number}.txt" if number > 1 else "text.txt" for number in count(1))
    if not any(map(is_stream, texts)):
        yield tuple(texts)
    elif dry_run:
        with TemporaryDirectory() as place:
            yield tuple(_kept(t, Path(place) / next(names)) if is_stream(t) else t for t in texts)
    else:
        yield tuple(_kept(t, folder / next(names)) if is_stream(t) else t for t in texts)


def _kept(name: str, place: Path) -> str:
    if RunFolder(place.parent).is_in_use():
        raise RunFolderTakenError(f"{show(place.parent)} is in use; name another folder with --out")
    with _opened(name) as stream:
        blocks = _checked(name, _blocks_of(stream))
        if place.exists():
            is_kept = _are_equal(place, blocks)
        else:
            make_folder(place.parent)
            is_kept = write_new_stream(place, blocks)
        if not is_kept:
            raise RunFolderTakenError(
                f"{show(place)} holds another text; name another folder with --out, or remove it"
            )
    return str(place)


def _opened(name: str) -> IO[bytes]:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer
    try:
        return open(name, "rb", buffering=0, opener=without_waiting)
    except OSError as error:
        raise FileError(f"{show(name)}: cannot be read: {error.strerror or error}") from None


def _blocks_of(stream: IO[bytes]) -> Iterator[bytes]:
    """None of a pipe that nobody writes into."""
    if stream is not sys.stdin.buffer:
        first = first_byte(stream)
        if first == b"":
            return
        yield (first or b"") + stream.read(BLOCK)
    yield from iter(lambda: stream.read(BLOCK), b"")


def _checked(name: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(blocks, b"")
    where = "standard input" if name == STANDARD_INPUT else show(name)
    if not first:
        raise FileError(f"{where}: the text is empty")
    if is_config(first):
        raise ConfigError(f"{where}: settings, not a text; save them in a file (.yaml) first")
    return chain([first], blocks)


def _are_equal(place: Path, blocks: Iterable[bytes]) -> bool:
    with place.open("rb") as file:
        return all(file.read(len(block)) == block for block in blocks) and not file.read(1)
