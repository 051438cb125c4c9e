"""What a training says on stderr: a progress bar on a terminal, else a plain line a report."""

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from typing import Any, TypeVar

from tqdm import tqdm

from charlstm.messages import duration, figure, printable

tqdm.monitor_interval = 0  # its thread would have to be waited for at every signal
tqdm.set_lock(threading.RLock())  # one for all processes costs one of its own on Python 3.14

Say = Callable[[str], None]
Piece = TypeVar("Piece", bound=Sized)

FIRST_SAMPLE = 3.0
"""Seconds of training until a terminal is shown what the model writes; each next takes twice as
long, so that it is visibly better."""
WIDTH_OF_BAR = 8

PIECE = 512  # bytes that a pipe takes whole, or not at all, once it says that it can be written
SECONDS = 0.5


class Talk:
    """Stderr, as a file that loses what nobody reads: a pipe may be full, a terminal held.

    A write would wait for the reader, and the signal that asks to stop with it.
    """

    def __init__(self) -> None:
        self._read = True

    def write(self, text: str) -> None:
        try:
            number = sys.stderr.fileno()
        except (OSError, ValueError):  # not a real one: a test's, or a notebook's
            sys.stderr.write(text)
            return
        sys.stderr.flush()
        data = text.encode(sys.stderr.encoding, "backslashreplace")
        for start in range(0, len(data), PIECE):
            ready = select.select([], [number], [], SECONDS if self._read else 0)[1]
            self._read = bool(ready)
            if not ready:
                return
            os.write(number, data[start : start + PIECE])

    def flush(self) -> None:
        sys.stderr.flush()

    @property
    def encoding(self) -> str:
        return sys.stderr.encoding

    def fileno(self) -> int:
        return sys.stderr.fileno()


talk = Talk()


def say(line: str) -> None:
    """A line on stderr, above the progress bar if there is one.

    A terminal that has gone, or a full disk behind stderr, is no reason to end a training.
    """
    if sys.stderr is None:  # closed before the program started
        return
    with suppress(OSError):
        tqdm.write(printable(line, keep="\n\t"), file=talk)
        talk.flush()


def say_nothing(line: str) -> None:
    del line


class Bar:
    """A tqdm bar over the steps of the whole run, fed with characters; lines scroll above it."""

    def __init__(self, first_step: int, total_steps: int, characters_per_step: int) -> None:
        self._characters = characters_per_step
        self._started = time.perf_counter()
        self._next_sample = FIRST_SAMPLE
        self._first, self._total = first_step, total_steps
        self._validation: list[str] = []
        self._bar: tqdm[Any] = tqdm(
            total=total_steps,
            initial=first_step,
            file=talk,
            mininterval=0.2,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}% {bar} {desc}",
        )

    def stepped(self, step: int, train_loss: float) -> None:
        seconds = max(time.perf_counter() - self._started, 1e-9)
        done = step - self._first
        parts = [
            f"loss {figure(train_loss, 3)}",
            *self._validation,
            f"{duration((self._total - step) * seconds / done)} left",
            f"{done * self._characters / seconds:,.0f} char/s",
            f"step {step}/{self._total}",
        ]
        self._bar.set_description_str(fitting(parts, columns_of_stderr()), refresh=False)
        with suppress(OSError):
            self._bar.update()

    def lasts(self, total_steps: int) -> None:
        self._total = self._bar.total = total_steps

    def evaluated(self, val_loss: float, best: float) -> None:
        self._validation = [f"val {figure(val_loss, 3)}"]
        if best < val_loss:
            self._validation.append(f"best {figure(best, 3)}")

    def wants_sample(self) -> bool:
        """Whether it is time for a sample; by the clock, so nothing that is saved depends on it."""
        if time.perf_counter() - self._started < self._next_sample:
            return False
        self._next_sample *= 2
        return True

    def reported(self, line: str) -> None:
        """The bar says as much."""
        del line

    def noted(self, text: str) -> None:
        """An evaluation or a sample."""
        say(printable(text, keep="\n\t"))

    def warned(self, line: str) -> None:
        say(f"Warning: {line}")

    def close(self) -> None:
        with suppress(OSError):
            self._bar.close()


class Lines:
    """A plain line for every report, for log files and pipes."""

    def stepped(self, step: int, train_loss: float) -> None:
        pass

    def lasts(self, total_steps: int) -> None:
        self.noted(f"Measured again: {total_steps:,} steps fit the time.")

    def evaluated(self, val_loss: float, best: float) -> None:
        pass

    def wants_sample(self) -> bool:
        return False

    def reported(self, line: str) -> None:
        say(line)

    def noted(self, text: str) -> None:
        say(text)

    def warned(self, line: str) -> None:
        say(f"Warning: {line}")

    def close(self) -> None:
        pass


class Silence(Lines):
    """--quiet: errors only."""

    def reported(self, line: str) -> None:
        pass

    def noted(self, text: str) -> None:
        pass

    def warned(self, line: str) -> None:
        pass


Display = Bar | Lines


def display_for(
    quiet: bool, first_step: int, total_steps: int, characters_per_step: int
) -> Display:
    if quiet:
        return Silence()
    if is_terminal():
        return Bar(first_step, total_steps, characters_per_step)
    return Lines()


def watched(pieces: Iterable[Piece], total: int) -> Iterator[Piece]:
    """The pieces; while they come, a bar on a terminal says how much of ``total`` they are."""
    if not is_terminal():
        yield from pieces
        return
    form = "{percentage:3.0f}% {bar} {n:,.0f} of {total:,.0f}, {remaining} left"
    options: dict[str, Any] = {"leave": False, "delay": 1.0, "dynamic_ncols": True}
    with tqdm(total=total, file=talk, bar_format=form, **options) as bar:
        for piece in pieces:
            yield piece
            with suppress(OSError):
                bar.update(len(piece))


def is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def columns_of_stderr() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80


def fitting(parts: Iterable[str], columns: int) -> str:
    """The first of ``parts``, as many as there is room for beside percentage and bar."""
    room = columns - len("100% ") - WIDTH_OF_BAR - 1
    line = ""
    for part in parts:
        longer = f"{line}  {part}" if line else part
        if len(longer) > room:
            break
        line = longer
    return line
