"""The options of commands in which a model goes on learning from what it reads."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from charlstm.cli.arguments import Number, WholeNumber
from charlstm.nn.pace import Pace

Command = Callable[..., Any]
USUAL = Pace()


def pace_options(command: Command) -> Command:
    """Three options, which the command gets as one argument ``pace``."""

    @click.option(
        "--adapt-rate",
        default=USUAL.rate,
        type=Number(0, 1e30),
        help="How much is learned from each segment read.",
    )
    @click.option(
        "--adapt-pull",
        default=USUAL.pull,
        type=Number(0, 1),
        help="How much of it is given up again at each: the way back to the trained weights.",
    )
    @click.option(
        "--adapt-segment",
        default=USUAL.segment,
        type=WholeNumber(1, 1_000),
        help="Characters read before they are learned from.",
    )
    @wraps(command)
    def with_pace(
        *words: Any, adapt_rate: float, adapt_pull: float, adapt_segment: int, **options: Any
    ) -> Any:
        return command(*words, pace=Pace(adapt_rate, adapt_pull, adapt_segment), **options)

    return with_pace


def require_use(pace: Pace, switch: str, *, given: bool) -> None:
    """Raises `click.UsageError` where options say how to do what is not asked for."""
    if pace != USUAL and not given:
        raise click.UsageError(f"--adapt-rate, --adapt-pull and --adapt-segment go with {switch}.")
