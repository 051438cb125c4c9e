"""What a command made, on stdout."""

import os
import sys
from pathlib import Path

import click

from charlstm.messages import printable


def echo_path(path: Path) -> None:
    """For a script as it is, byte for byte; on a terminal without what would move its cursor."""
    click.echo(printable(str(path)) if sys.stdout.isatty() else os.fsencode(path))
