"""What a training says on stderr: a progress bar on a terminal, else a plain line a report."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from charlstm.messages import figure
from charlstm.nn.loss import bits

tqdm.monitor_interval = 0  # its thread would have to be waited for at every signal

Say = Callable[[str], None]


def say(line: str) -> None:
    """A line on stderr, above the progress bar if there is one.

    A terminal that has gone, or a full disk behind stderr, is no reason to end a training.
    """
    if sys.stderr is None:  # closed before the program started
        return
    with suppress(OSError):
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()


def say_nothing(line: str) -> None:
    del line


class Bar:
    """A tqdm bar over the steps of the whole run, fed with characters."""

    def __init__(self, first_step: int, total_steps: int, characters_per_step: int) -> None:
        self._characters = characters_per_step
        self._started = time.perf_counter()
        self._first = first_step
        self._validation = ""
        self._bar: tqdm[Any] = tqdm(
            total=total_steps,
            initial=first_step,
            file=sys.stderr,
            mininterval=0.2,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% {bar:20} step {n_fmt}/{total_fmt} {postfix} {remaining}",
        )

    def stepped(self, step: int, train_loss: float) -> None:
        seconds = time.perf_counter() - self._started
        speed = (step - self._first) * self._characters / max(seconds, 1e-9)
        text = f"loss {figure(train_loss, 3)}{self._validation} {speed:,.0f} char/s"
        self._bar.set_postfix_str(text, refresh=False)
        with suppress(OSError):
            self._bar.update()

    def evaluated(self, val_loss: float) -> None:
        self._validation = f" val {figure(val_loss, 3)} ({figure(bits(val_loss), 2)} bits)"

    def reported(self, line: str) -> None:
        del line

    def warned(self, line: str) -> None:
        say(f"Warning: {line}")

    def close(self) -> None:
        with suppress(OSError):
            self._bar.close()


class Lines:
    """A plain line for every report, for log files and pipes."""

    def stepped(self, step: int, train_loss: float) -> None:
        pass

    def evaluated(self, val_loss: float) -> None:
        pass

    def reported(self, line: str) -> None:
        say(line)

    def warned(self, line: str) -> None:
        say(f"Warning: {line}")

    def close(self) -> None:
        pass


class Silence(Lines):
    """--quiet: errors only."""

    def reported(self, line: str) -> None:
        pass

    def warned(self, line: str) -> None:
        pass


Display = Bar | Lines


def display_for(
    quiet: bool, first_step: int, total_steps: int, characters_per_step: int
) -> Display:
    if quiet:
        return Silence()
    if sys.stderr is not None and sys.stderr.isatty():
        return Bar(first_step, total_steps, characters_per_step)
    return Lines()
