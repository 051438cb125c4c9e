"""What both sides have in common: a process that does as it is told, line by line, on stdin.

train B T H L [N] get ready, on a text of N characters, answer "ready"
steps N           train N steps, answer with their times in milliseconds
sample COUNT N    write N characters of COUNT texts, answer with microseconds a character
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

Step = Callable[[], None]


def times_of(step: Step, count: int) -> list[float]:
    """Milliseconds of each of ``count`` calls."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def serve(
    training: Callable[..., AbstractContextManager[Step]],
    sampling: Callable[[int], Callable[[int], None]],
) -> None:
    """``training(B, T, H, L, N)`` is entered for a step function; ``sampling(count)`` returns a
    function that makes so many characters.
    """
    for command, *numbers in _commands():
        if command == "train":
            with training(*numbers) as step:
                _answer("ready")
                for inner, count in _commands():
                    if inner != "steps":
                        break
                    _answer(times_of(step, count))
        elif command == "sample":
            count, length = numbers
            make = sampling(count)
            make(length // 10)
            start = time.perf_counter()
            make(length)
            _answer(1e6 * (time.perf_counter() - start) / length)


def _commands() -> Iterator[tuple[str, *tuple[int, ...]]]:
    for line in sys.stdin:
        command, *numbers = line.split()
        yield command, *map(int, numbers)


def _answer(value: object) -> None:
    print(json.dumps(value), flush=True)
