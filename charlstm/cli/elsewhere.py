"""What a checkpoint names far from here is read only after asking: it may come from a stranger."""

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from charlstm.saved.checkpoint import LoadedModel


def ask_before_reading_elsewhere(loaded: "LoadedModel", named_by: str) -> None:
    """Only on a terminal; else nothing is read that a checkpoint names far from here. ``named_by``
    is how the user can name it. Raises `FileError`.
    """
    from charlstm.errors import FileError
    from charlstm.messages import show
    from charlstm.saved.own_text import texts_elsewhere

    elsewhere = texts_elsewhere(loaded)
    if not elsewhere:
        return
    more = f" and {len(elsewhere) - 1:,} more" if len(elsewhere) > 1 else ""
    what = f"the checkpoint names {show(elsewhere[0])}{more} as its text"
    if sys.stdin.isatty() and sys.stderr.isatty():
        if agreed(f"Note: {what}. Read it?"):
            return
        raise FileError(f"{what}; nothing was read")
    raise FileError(
        f"{what}, neither here nor beside the run; if you trust it, name it yourself: {named_by}"
    )


def agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # Ctrl-D
        click.echo(err=True)
        return False
