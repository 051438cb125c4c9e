"""Signals as requests: finish the step, save, and end by the signal that asked for it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalRequests:
    """While entered, INT, TERM and HUP only set ``stopped_by``, and USR1 asks for a checkpoint.

    A signal that was ignored when the program started stays ignored: shells start background
    jobs of scripts that way, and ``nohup`` does so for HUP. The second stopping signal ends the
    process at once. Python hears signals in its main thread only; entered in another one, this does
    nothing, and no request ever comes.
    """

    def __init__(self) -> None:
        self.stopped_by: signal.Signals | None = None
        self._save = False
        self._before: dict[signal.Signals, object] = {}

    def wants_save(self) -> bool:
        """Whether USR1 came since the last time this was asked."""
        wanted, self._save = self._save, False
        return wanted

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (*_STOPPING, signal.SIGUSR1):
            before = signal.getsignal(number)
            if number in _STOPPING and before is signal.SIG_IGN:
                continue
            self._before[number] = before
            signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGUSR1:
            self._save = True
        elif self.stopped_by is None:
            self.stopped_by = signal.Signals(number)
        else:
            end_by(signal.Signals(number))


def as_the_system_has_them() -> None:
    """For a program at its very start: INT ends it without a word, unless it was ignored.

    Python's KeyboardInterrupt may come out of any import, as a traceback, as another error, or not
    at all where something passes over errors. USR1 asks for a checkpoint; where there is nothing
    to save yet, that is no reason to die, which is the system's default.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Where INT would end the program on the spot, it raises KeyboardInterrupt: to clean up."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def end_by(number: signal.Signals) -> None:
    """End this process by the signal's own action, as a shell loop needs to see it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
