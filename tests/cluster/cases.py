"""What is tried: cases that end as they must, or with a reason why not; and their table."""

import subprocess
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hosts import MissingError


class UnexpectedError(Exception):
    """It ended in another way than it must."""


def expect(condition: bool, found: str) -> None:
    if not condition:
        raise UnexpectedError(found)


@dataclass(frozen=True)
class Case:
    """``run`` returns what happened. Raises `UnexpectedError`, or `MissingError` to be skipped."""

    name: str
    run: Callable[[], str]


def _outcome(case: Case) -> tuple[str, str]:
    try:
        return "as it must", case.run()
    except MissingError as reason:
        return "skipped", str(reason)
    except (UnexpectedError, subprocess.TimeoutExpired) as found:
        return "FAILED", str(found)
    except Exception as error:
        traceback.print_exc()
        return "FAILED", f"{type(error).__name__}: {error}"


def run_all(cases: Iterable[Case]) -> int:
    """Run them one after the other and print a row for each: how many failed."""
    failed = 0
    print(f"{'case':48} {'ended':10} {'s':>5}  what happened", flush=True)
    for case in cases:
        started = time.monotonic()
        outcome, found = _outcome(case)
        seconds = time.monotonic() - started
        failed += outcome == "FAILED"
        print(f"{case.name:48} {outcome:10} {seconds:5.0f}  {found[-900:]}", flush=True)
    return failed
