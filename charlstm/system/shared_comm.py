"""Ranks on one machine: processes that share memory, with rank 0 in the middle.

Every rank has a slot of shared memory and a socket to rank 0. Numbers travel through the slots;
the sockets only say that everybody has arrived. A socket also tells when its other end has died,
however it died: rank 0 then raises, and the others, left alone, simply end. A worker that meets an
error a user can put right says so through its socket before it ends.
"""

import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from charlstm.errors import SystemRefusedError, UserError
from charlstm.system.comm import Array

MAX_SCALARS = 16
MAX_RANK = 8
_HEAD_BYTES = 8 * (MAX_SCALARS + MAX_RANK)
_PAGE = 4096
_ARRIVED, _FAILED = b".", b"!"
_SECONDS_TO_DIE = 1.0
_SECONDS_TO_END = 5.0
_NOT_FOR_WORKERS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}


class PeerLostError(Exception):
    """The process at the other end of a socket has gone; ``str`` says why, if it could say so."""


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
    """`Comm` over shared memory. ``sockets``: on rank 0 one for each other rank, else the one.

    Every operation raises `SystemRefusedError` on rank 0 when one of its ``workers`` has gone, and
    `PeerLostError` on the others when rank 0 has.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        memory: mmap.mmap,
        slot_bytes: int,
        sockets: list[socket.socket],
        *,
        workers: "Sequence[subprocess.Popen[bytes]]" = (),
    ) -> None:
        self.rank = rank
        self.size = size
        self._sockets = sockets
        self._workers = workers
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
        self._wait_for_all()  # nobody reads the last sum any more
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

    def tell_failure(self, message: str) -> None:
        """For ranks other than 0: a last word."""
        self._sockets[0].sendall(_FAILED + message.encode(errors="replace"))

    def _wait_for_all(self) -> None:
        """Rank 0 hears from everybody, then tells everybody to go on."""
        if self.rank:
            _send(self._sockets[0])
            _receive(self._sockets[0])
            return
        try:
            _receive_from_all(self._sockets)
            for other in self._sockets:
                _send(other)
        except PeerLostError as loss:
            raise _worker_lost(loss, self._workers) from None


def _send(peer: socket.socket, message: bytes = _ARRIVED) -> None:
    try:
        peer.sendall(message)
    except OSError as error:
        raise PeerLostError from error


def _receive(peer: socket.socket) -> None:
    try:
        signs = peer.recv(1)
        if signs == _FAILED:
            raise PeerLostError(_read_to_end(peer).decode(errors="replace"))
    except OSError as error:
        raise PeerLostError from error
    if not signs:
        raise PeerLostError


def _receive_from_all(peers: Sequence[socket.socket]) -> None:
    """In whatever order they come: one that has died must not go unseen while another is stuck."""
    if len(peers) == 1:
        _receive(peers[0])
        return
    missing = {peer.fileno(): peer for peer in peers}
    waiting = select.poll()
    for number in missing:
        waiting.register(number, select.POLLIN)
    while missing:
        for number, _ in waiting.poll():
            if number not in missing:
                raise PeerLostError
            _receive(missing.pop(number))
            waiting.modify(number, 0)  # from now on only its end counts


def _read_to_end(peer: socket.socket) -> bytes:
    with peer.makefile("rb") as stream:
        return stream.read()


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
    with _refused("share memory with the workers"):
        file = _shared_file()
    with file:
        with _refused("share memory with the workers"):
            os.truncate(file.fileno(), total_bytes)
            memory = mmap.mmap(file.fileno(), total_bytes)
        try:
            for rank in range(1, size):
                with _refused("start a worker process"):
                    ours, theirs = socket.socketpair()
                    sockets.append(ours)
                    with theirs:
                        workers.append(_start(theirs, file.fileno(), environment))
                message = {"rank": rank, "size": size, "slot_bytes": slot_bytes, **setup}
                _send(ours, json.dumps(message).encode() + b"\n")
            yield SharedComm(0, size, memory, slot_bytes, sockets, workers=workers)
        except PeerLostError as loss:  # while they were started
            raise _worker_lost(loss, workers) from None
        finally:
            for ours in sockets:
                ours.close()
            for worker in workers:
                _wait_for(worker)


@contextmanager
def _refused(action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SystemRefusedError(
            f"cannot {action}: {error.strerror or error}; try training.workers=1"
        ) from error


def _wait_for(worker: "subprocess.Popen[bytes]") -> None:
    """For its end; one that was stopped (SIGSTOP) does not notice that it is alone."""
    try:
        worker.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _shared_file() -> IO[bytes]:
    """A file without a name, in memory where the system can: a disk would be written to."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("charlstm"), "r+b")
    return tempfile.TemporaryFile()


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
    threading.Thread(target=_end_when_alone, args=(peer,), daemon=True).start()
    return SharedComm(setup["rank"], size, memory, slot_bytes, [peer]), setup


@contextmanager
def failures_told(comm: SharedComm) -> Iterator[None]:
    """Let rank 0 know of an error that a user can put right, instead of dying without a word."""
    try:
        yield
    except UserError as error:
        comm.tell_failure(str(error))
        raise
    except MemoryError:
        comm.tell_failure("out of memory; make the model or the batch smaller")
        raise


def _end_when_alone(peer: socket.socket) -> None:
    """End this process once rank 0 has gone, even in the middle of a long step."""
    hang_up = select.poll()
    hang_up.register(peer, 0)  # what is always reported: the other end has closed
    hang_up.poll()
    os._exit(0)


def _start(
    theirs: socket.socket, memory: int, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    # A blocked signal stays blocked in the program that is started. So Ctrl-C, which reaches the
    # whole group, never hits a worker, not even while it starts: rank 0 decides for all.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _NOT_FOR_WORKERS)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "charlstm.training.worker", str(theirs.fileno()), str(memory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), memory),
            env=os.environ | dict(environment),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _worker_lost(
    loss: PeerLostError, workers: "Sequence[subprocess.Popen[bytes]]"
) -> SystemRefusedError:
    end = f"failed: {loss}" if str(loss) else f"died{_how(workers)}"
    return SystemRefusedError(f"a worker process {end}")


def _how(workers: "Sequence[subprocess.Popen[bytes]]") -> str:
    """What is known of the end of the first one that ended."""
    deadline = time.monotonic() + _SECONDS_TO_DIE
    while time.monotonic() < deadline:
        for code in filter(None, (worker.poll() for worker in workers)):
            if code < 0:
                out_of_memory = ", out of memory?" if -code == signal.SIGKILL else ""
                return f" (signal {-code}{out_of_memory})"
            return f" (exit code {code})"
        time.sleep(0.01)
    return ""
