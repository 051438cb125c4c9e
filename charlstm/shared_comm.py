"""Ranks on one machine: processes that share memory, with rank 0 in the middle.

Every rank has a slot of shared memory and a socket to rank 0. Numbers travel through the slots;
the sockets only say that everybody has arrived. A socket also tells when its other end has died,
however it died: rank 0 then raises, and the others, left alone, simply end.
"""

import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from charlstm.errors import SystemRefusedError
from charlstm.nn.parameter import Array

MAX_SCALARS = 16
MAX_RANK = 8
_HEAD_BYTES = 8 * (MAX_SCALARS + MAX_RANK)
_PAGE = 4096
_NOT_FOR_WORKERS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}


class PeerLostError(Exception):
    """The process at the other end of a socket has gone."""


class _Slot:
    """One rank's part of the shared memory: a few scalars, a shape, and an array's bytes."""

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        self.scalars = np.frombuffer(memory, np.float64, MAX_SCALARS, start)
        self.shape = np.frombuffer(memory, np.int64, MAX_RANK, start + 8 * MAX_SCALARS)
        self._bytes = np.frombuffer(memory, np.uint8, size - _HEAD_BYTES, start + _HEAD_BYTES)

    def array(self, count: int, dtype: np.dtype[Any]) -> Array:
        array: Array = self._bytes[: count * dtype.itemsize].view(dtype)
        return array

    def put(self, array: Array) -> None:
        self.shape[:] = -1
        self.shape[: array.ndim] = array.shape
        self.array(array.size, array.dtype)[:] = array.reshape(-1)

    def get(self, dtype: np.dtype[Any]) -> Array:
        shape = tuple(int(n) for n in self.shape if n >= 0)
        return self.array(int(np.prod(shape)), dtype).reshape(shape).copy()


class SharedComm:
    """`Comm` over shared memory. ``sockets``: on rank 0 one for each other rank, else the one."""

    def __init__(
        self, rank: int, size: int, memory: mmap.mmap, slot_bytes: int, sockets: list[socket.socket]
    ) -> None:
        self.rank = rank
        self.size = size
        self._sockets = sockets
        self._slots = [_Slot(memory, number * slot_bytes, slot_bytes) for number in range(size)]
        self._total = _Slot(memory, size * slot_bytes, slot_bytes)

    def all_reduce(self, vector: Array, scalars: Array) -> None:
        """Each rank adds up its own section of the vector, in the order of the ranks: the sum is
        the same bit for bit every time.
        """
        own, n = self._slots[self.rank], vector.size
        own.array(n, vector.dtype)[:] = vector
        own.scalars[: scalars.size] = scalars
        self._wait_for_all()
        section = slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)
        total = self._total.array(n, vector.dtype)
        parts = [slot.array(n, vector.dtype)[section] for slot in self._slots]
        np.add(parts[0], parts[1], out=total[section])
        for part in parts[2:]:
            total[section] += part
        scalars[:] = sum(slot.scalars[: scalars.size] for slot in self._slots)
        self._wait_for_all()
        vector[:] = total

    def broadcast(self, array: Array) -> None:
        if self.rank == 0:
            self._total.put(array)
        self._wait_for_all()
        array[...] = self._total.get(array.dtype)
        self._wait_for_all()

    def gather(self, array: Array, axis: int) -> Array:
        self._slots[self.rank].put(array)
        self._wait_for_all()
        if self.rank == 0:
            array = np.concatenate([slot.get(array.dtype) for slot in self._slots], axis=axis)
        self._wait_for_all()
        return array

    def _wait_for_all(self) -> None:
        """Rank 0 hears from everybody, then tells everybody to go on."""
        if self.rank:
            _send(self._sockets[0])
            _receive(self._sockets[0])
            return
        for other in self._sockets:
            _receive(other)
        for other in self._sockets:
            _send(other)


def _send(peer: socket.socket) -> None:
    try:
        peer.send(b".")
    except OSError as error:
        raise PeerLostError from error


def _receive(peer: socket.socket) -> None:
    try:
        arrived = peer.recv(1)
    except OSError as error:
        raise PeerLostError from error
    if not arrived:
        raise PeerLostError


@contextmanager
def local_ranks(
    size: int, largest: int, setup: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[SharedComm]:
    """Start ranks 1 to ``size - 1`` as processes and be rank 0 of them.

    ``largest``: bytes of the largest array that will travel; ``setup``: JSON that tells a worker
    what to do (see ``worker``). On the way out the sockets are closed, which ends the workers.
    Raises `SystemRefusedError` when one of them dies.
    """
    slot_bytes = -(-(largest + _HEAD_BYTES) // _PAGE) * _PAGE
    total_bytes = slot_bytes * (size + 1)
    sockets: list[socket.socket] = []
    workers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryFile() as file:
        os.truncate(file.fileno(), total_bytes)
        memory = mmap.mmap(file.fileno(), total_bytes)
        try:
            for rank in range(1, size):
                ours, theirs = socket.socketpair()
                sockets.append(ours)
                with theirs:
                    workers.append(_start(theirs, file.fileno(), environment))
                message = {"rank": rank, "size": size, "slot_bytes": slot_bytes, **setup}
                ours.sendall(json.dumps(message).encode() + b"\n")
            yield SharedComm(0, size, memory, slot_bytes, sockets)
        except PeerLostError:
            raise SystemRefusedError(
                f"a worker process died{_how(workers)}; checkpoints are whole,"
                " continue with --resume"
            ) from None
        finally:
            for ours in sockets:
                ours.close()
            for worker in workers:
                worker.wait()


def join(descriptor: int, memory_descriptor: int) -> tuple[SharedComm, dict[str, Any]]:
    """Become the rank that the process at the other end of the socket has started."""
    peer = socket.socket(fileno=descriptor)
    message = bytearray()
    while not message.endswith(b"\n"):
        piece = peer.recv(1 << 16)
        if not piece:
            raise PeerLostError
        message += piece
    setup: dict[str, Any] = json.loads(message)
    size, slot_bytes = setup["size"], setup["slot_bytes"]
    memory = mmap.mmap(memory_descriptor, slot_bytes * (size + 1))
    return SharedComm(setup["rank"], size, memory, slot_bytes, [peer]), setup


def _start(
    theirs: socket.socket, memory: int, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    # A blocked signal stays blocked in the program that is started. So Ctrl-C, which reaches the
    # whole group, never hits a worker, not even while it starts: rank 0 decides for all.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_WORKERS)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "charlstm.worker", str(theirs.fileno()), str(memory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), memory),
            env=os.environ | dict(environment),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _how(workers: "list[subprocess.Popen[bytes]]") -> str:
    """What is known of the end of the first one that ended."""
    for worker in workers:
        try:
            code = worker.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            continue
        if code < 0:
            out_of_memory = ", out of memory?" if -code == signal.SIGKILL else ""
            return f" (signal {-code}{out_of_memory})"
        return f" (exit code {code})"
    return ""
