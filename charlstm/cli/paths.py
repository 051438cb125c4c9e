"""What a command made, on stdout."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

from charlstm.messages import printable, show


def echo_path(path: Path) -> None:
    """For a script as it is, byte for byte; on a terminal without what would move its cursor."""
    click.echo(printable(str(path)) if sys.stdout.isatty() else os.fsencode(path))


def refuse_to_replace(out: Path, read: Iterable[Path]) -> None:
    """What a command reads is not what it writes. Raises `click.UsageError`."""
    for path in read:
        with suppress(OSError, ValueError):
            if out.samefile(path):
                raise click.UsageError(f"{show(out)} is what would be read; name another file.")
