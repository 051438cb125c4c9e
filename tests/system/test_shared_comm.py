"""Ranks that share memory: here threads of one process, on the same sockets as real workers."""

import errno
import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.errors import FileError, SystemRefusedError
from charlstm.system import shared_comm
from charlstm.system.shared_comm import PeerLostError, SharedComm, failures_told

SLOT = 8192
LENGTH = 101


@pytest.fixture(params=[2, 3, 5])
def group(request: pytest.FixtureRequest) -> Iterator[list[SharedComm]]:
    size = request.param
    memory = mmap.mmap(-1, SLOT * (size + 1))
    pairs = [socket.socketpair() for _ in range(size - 1)]
    leader = SharedComm(0, size, memory, SLOT, [ours for ours, _ in pairs])
    others = [
        SharedComm(rank, size, memory, SLOT, [theirs])
        for rank, (_, theirs) in enumerate(pairs, start=1)
    ]
    yield [leader, *others]
    for pair in pairs:
        for end in pair:
            end.close()


def together(group: list[SharedComm], action: Callable[[SharedComm], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(group)) as threads:
        return list(threads.map(action, group, timeout=10))


def vector_of(rank: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(rank).standard_normal(LENGTH).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_ranks_get_the_sum_in_the_order_of_the_ranks(
    group: list[SharedComm], dtype: str
) -> None:
    def reduce(comm: SharedComm) -> tuple[np.ndarray, np.ndarray]:
        vector, scalars = vector_of(comm.rank, dtype), np.array([0.1 * comm.rank, 1.0, 7.0])
        for _ in range(3):  # slots are reused
            vector, scalars = vector_of(comm.rank, dtype), np.array([0.1 * comm.rank, 1.0, 7.0])
            comm.all_reduce(vector, scalars)
        return vector, scalars

    expected = vector_of(0, dtype)
    for rank in range(1, len(group)):
        expected = expected + vector_of(rank, dtype)
    for vector, scalars in together(group, reduce):
        assert vector.tobytes() == expected.tobytes()
        assert scalars.tolist() == [
            sum(0.1 * comm.rank for comm in group),
            len(group),
            7.0 * len(group),
        ]


def test_an_empty_vector_can_travel_with_scalars(group: list[SharedComm]) -> None:
    def reduce(comm: SharedComm) -> float:
        scalars = np.array([comm.rank + 1.0])
        comm.all_reduce(np.zeros(0), scalars)
        return float(scalars[0])

    n = len(group)
    assert together(group, reduce) == [n * (n + 1) / 2] * n


def test_everybody_gets_rank_0s_array(group: list[SharedComm]) -> None:
    def broadcast(comm: SharedComm) -> list[list[float]]:
        array = np.full((2, 3), comm.rank, np.float32) + np.arange(3, dtype=np.float32)
        comm.broadcast(array)
        return array.tolist()

    assert together(group, broadcast) == [[[0, 1, 2], [0, 1, 2]]] * len(group)


def test_shares_of_different_sizes_are_joined_along_an_axis(group: list[SharedComm]) -> None:
    def gather(comm: SharedComm) -> np.ndarray:
        return comm.gather(np.full((2, comm.rank + 1, 3), comm.rank, np.float32), axis=1)

    joined, *own = together(group, gather)
    assert joined[1, :, 2].tolist() == [r for r in range(len(group)) for _ in range(r + 1)]
    assert joined.shape == (2, sum(range(1, len(group) + 1)), 3)
    assert [len(array[0]) for array in own] == list(range(2, len(group) + 1))


def test_a_lost_worker_is_an_error_of_the_system_for_rank_0(group: list[SharedComm]) -> None:
    def act(comm: SharedComm) -> None:
        if comm is group[-1]:
            comm._sockets[0].close()
        elif comm.rank:
            with pytest.raises(PeerLostError):
                comm.all_reduce(np.zeros(LENGTH), np.zeros(1))
        else:
            with pytest.raises(SystemRefusedError, match="a worker process died"):
                comm.all_reduce(np.zeros(LENGTH), np.zeros(1))
            for end in comm._sockets:
                end.close()

    together(group, act)


def test_a_worker_left_alone_notices(group: list[SharedComm]) -> None:
    for end in group[0]._sockets:
        end.close()
    for comm in group[1:]:
        with pytest.raises(PeerLostError):
            comm.all_reduce(np.zeros(LENGTH), np.zeros(1))


def test_what_went_wrong_for_a_worker_reaches_rank_0(group: list[SharedComm]) -> None:
    def act(comm: SharedComm) -> None:
        if comm.rank == 1:
            try:
                with failures_told(comm):
                    raise FileError("text.txt: gone\u00e9")
            except FileError:
                comm._sockets[0].close()
        elif comm.rank == 0:
            with pytest.raises(SystemRefusedError, match=r"process failed: text\.txt: gone\u00e9$"):
                comm.all_reduce(np.zeros(LENGTH), np.zeros(1))
            for end in comm._sockets:
                end.close()
        else:
            with pytest.raises(PeerLostError):
                comm.all_reduce(np.zeros(LENGTH), np.zeros(1))

    together(group, act)


def test_how_a_worker_ended_is_told_even_behind_living_ones() -> None:
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead = subprocess.Popen([sys.executable, "-c", "import os; os._exit(7)"])
    try:
        assert shared_comm._how([living, dead]) == " (exit code 7)"
    finally:
        living.communicate(b"\n")


def test_the_shared_memory_is_on_no_disk() -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("this system has no memfd_create")
    with shared_comm._shared_file() as file:
        assert str(Path(f"/proc/self/fd/{file.fileno()}").readlink()).startswith("/memfd:")


def test_a_dead_worker_is_seen_behind_one_that_is_stuck(group: list[SharedComm]) -> None:
    if len(group) < 3:
        pytest.skip("takes two workers")

    def act(comm: SharedComm) -> None:
        if comm is group[-1]:
            comm._sockets[0].close()
        elif comm.rank == 0:
            with pytest.raises(SystemRefusedError, match="a worker process died"):
                comm.all_reduce(np.zeros(LENGTH), np.zeros(1))

    together(group, act)  # and the others never come


def test_one_that_dies_having_arrived_is_seen_too(group: list[SharedComm]) -> None:
    if len(group) < 3:
        pytest.skip("takes two workers")
    group[1]._sockets[0].sendall(b".")
    group[1]._sockets[0].close()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(group[0].all_reduce, np.zeros(LENGTH), np.zeros(1))
        with pytest.raises(SystemRefusedError, match="a worker process died"):
            waiting.result(timeout=10)


def test_a_worker_that_was_stopped_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_comm, "_SECONDS_TO_END", 0.05)
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    worker.send_signal(signal.SIGSTOP)
    shared_comm._wait_for(worker)
    assert worker.returncode == -signal.SIGKILL
    worker.communicate()


@pytest.mark.parametrize(
    ("place", "name", "action"),
    [
        (shared_comm, "_shared_file", "share memory with the workers"),
        (shared_comm.mmap, "mmap", "share memory with the workers"),
        (shared_comm.socket, "socketpair", "start a worker process"),
        (shared_comm.subprocess, "Popen", "start a worker process"),
    ],
)
def test_what_the_system_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, action: str
) -> None:
    def refuse(*arguments: Any, **others: Any) -> Any:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(place, name, refuse)
    with pytest.raises(SystemRefusedError) as caught, shared_comm.local_ranks(2, 100, {}, {}):
        pass
    assert str(caught.value) == (
        f"cannot {action}: Resource temporarily unavailable; try training.workers=1"
    )
