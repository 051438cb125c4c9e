"""Ranks on one machine or many, by MPI: the same interface as the workers that share memory.

Numbers are summed in the order of the ranks, whatever algorithm the MPI library would choose: so
the result is the same bit for bit every time, and the same as with as many local workers.
"""

import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from charlstm.errors import ConfigError, UserError
from charlstm.system import mpi_launcher
from charlstm.system.comm import Array, Comm, sum_in_order
from charlstm.system.mpi_apart import ApartComm

_FOR_RANK_0 = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class MpiComm:
    """`Comm` over an mpi4py communicator whose ranks are on one machine."""

    def __init__(self, communicator: Any) -> None:
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()
        self._communicator = communicator

    def all_reduce(self, vector: Array, scalars: Array) -> None:
        """Each rank receives its section of everybody's vector, adds them up, and sends the sum to
        all: 2 (R - 1) / R vectors pass through each of R ranks, the least that is possible.
        """
        ends = [vector.size * rank // self.size for rank in range(self.size + 1)]
        counts = np.diff(ends).tolist()
        own = counts[self.rank]
        parts = np.empty((self.size, own), vector.dtype)
        places = [own * rank for rank in range(self.size)]
        self._communicator.Alltoallv(
            (vector, (counts, ends[:-1])), (parts, ([own] * self.size, places))
        )
        total = sum_in_order(parts)
        self._communicator.Allgatherv(total, (vector, (counts, ends[:-1])))
        rows = np.empty((self.size, scalars.size), scalars.dtype)
        self._communicator.Allgather(scalars, rows)
        scalars[:] = sum_in_order(rows)

    def broadcast(self, array: Array) -> None:
        self._communicator.Bcast(array)

    def gather(self, array: Array, axis: int) -> Array:
        parts = self._communicator.gather(array)
        return array if parts is None else np.concatenate(parts, axis=axis)


def comm_of(communicator: Any, timeout: float = 0) -> Comm:
    """On one machine the library knows best; between several, see `ApartComm`."""
    from mpi4py import MPI  # noqa: PLC0415

    machines = communicator.allgather(socket.gethostname())
    near = communicator.Split_type(MPI.COMM_TYPE_SHARED)
    together = near.Get_size() == communicator.Get_size()
    near.Free()
    return MpiComm(communicator) if together else ApartComm(communicator, machines, timeout)


@contextmanager
def leading(setup: Mapping[str, Any], lanes: int, timeout: float) -> Iterator[Comm]:
    """Be rank 0: the others start to work by ``setup``, on their shares of ``lanes``.

    ``timeout``: seconds to wait for a rank on another machine; 0: for ever. Raises `ConfigError`
    if there are more ranks than lanes. An error while they work ends all of them, after it has been
    reported here, for the caller would have nobody left to report to.
    """
    ranks = mpi_launcher.world().Get_size()
    if ranks > lanes:
        raise ConfigError(
            f"{ranks} ranks cannot share training.batch_size={lanes}: start fewer, or raise it"
        )
    mpi_launcher.tell(setup)
    with _all_or_none("Error"):
        yield comm_of(mpi_launcher.world(), timeout)


@contextmanager
def helping() -> Iterator[Comm]:
    """Be another rank. Signals are for rank 0, which decides for all."""
    for number in _FOR_RANK_0:
        signal.signal(number, signal.SIG_IGN)
    comm = comm_of(mpi_launcher.world())
    with _all_or_none(f"Error: rank {comm.rank} on {socket.gethostname()}"):
        yield comm


@contextmanager
def _all_or_none(title: str) -> Iterator[None]:
    """Ranks that wait for one that failed would wait for ever; so all of them end with it.

    After the last common operation MPI is closed: a process that then ends by a signal must not
    look as if it had died in the middle of the work.
    """
    from mpi4py import MPI  # noqa: PLC0415

    try:
        yield
    except UserError as error:
        print(f"{title}: {error}", file=sys.stderr, flush=True)  # noqa: T201
        mpi_launcher.world().Abort(error.exit_code)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        mpi_launcher.world().Abort(1)
    MPI.Finalize()
