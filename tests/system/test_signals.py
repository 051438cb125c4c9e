"""Signals as requests, inside one process; tests/torture sends them to real trainings."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from places import ROOT

from charlstm.system.signals import SignalRequests

STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    """Signals as a terminal has them, however these tests were started (nohup, &)."""
    before = [(number, signal.getsignal(number)) for number in STOPPING]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_a_wish_to_stop(number: signal.Signals):
    with SignalRequests() as requests:
        assert requests.stopped_by is None
        os.kill(os.getpid(), number)
        assert requests.stopped_by is number
        assert not requests.wants_save()


def test_usr1_is_a_wish_to_save_and_granted_once():
    with SignalRequests() as requests:
        assert not requests.wants_save()
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert requests.wants_save()
        assert not requests.wants_save()
        assert requests.stopped_by is None


def test_what_was_there_before_comes_back():
    numbers = [*STOPPING, signal.SIGUSR1]
    before = [signal.getsignal(number) for number in numbers]
    with suppress(ZeroDivisionError), SignalRequests():
        assert all(signal.getsignal(n) != b for n, b in zip(numbers, before, strict=True))
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in numbers] == before


def test_another_thread_hears_no_signals():
    before = [signal.getsignal(number) for number in STOPPING]

    def enter() -> SignalRequests:
        with SignalRequests() as requests:
            assert [signal.getsignal(number) for number in STOPPING] == before
            return requests

    with ThreadPoolExecutor(1) as pool:
        requests = pool.submit(enter).result()
    assert (requests.stopped_by, requests.wants_save()) == (None, False)


@pytest.mark.parametrize("number", STOPPING)
def test_what_was_ignored_stays_ignored(number: signal.Signals):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with SignalRequests() as requests:
            os.kill(os.getpid(), number)
            assert requests.stopped_by is None
            assert signal.getsignal(number) is signal.SIG_IGN
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("first", STOPPING)
@pytest.mark.parametrize("second", STOPPING)
def test_the_second_one_ends_the_process_at_once(first: signal.Signals, second: signal.Signals):
    program = f"""
import os, signal
from charlstm.system.signals import SignalRequests
with SignalRequests():
    os.kill(os.getpid(), {int(first)})
    print("still here", flush=True)
    os.kill(os.getpid(), {int(second)})
    print("too far", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-second, "still here\n", "")
