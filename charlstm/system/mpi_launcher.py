"""Processes that an MPI launcher (mpirun, srun) has started: who leads, and what it tells the rest.

Rank 0 runs the command that was typed. The others wait, without using a core, until it tells them
what to do; nothing that only one process may do (read the command line, report, write) is ever
done by them. MPI itself is loaded only in processes that a launcher has started.
"""

import atexit
import os
import sys
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from charlstm.errors import ConfigError

SWITCH = "CHARLSTM_MPI"
SIGNS = {
    "OMPI_COMM_WORLD_SIZE": "Open MPI's mpirun",
    "PMI_SIZE": "mpiexec of MPICH and Intel MPI, srun --mpi=pmi2",
    "PMIX_RANK": "srun --mpi=pmix, prun",
}
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_SLURM_SIZE = "SLURM_STEP_NUM_TASKS"  # what srun started has it, a batch script has not
_LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMI_LOCAL_SIZE")
_TAG = 8
_PAUSE = 0.01  # seconds


def launched() -> bool:
    """Whether an MPI launcher started this process, by the variables that it sets.

    ``CHARLSTM_MPI=1`` says so for a launcher that sets none of `SIGNS`, ``CHARLSTM_MPI=0`` denies
    it. Slurm's own variables are no sign: a batch script has most of them, and is one process.
    """
    switch = os.environ.get(SWITCH)
    if switch in ("0", "1"):
        return switch == "1"
    return any(name in os.environ for name in SIGNS) and not _started_alone()


def _started_alone() -> bool:
    """By a launcher that may speak MPI by default, as srun does where Slurm is set up so."""
    return os.environ.get(_SLURM_SIZE if _in_a_pmix_step() else "PMI_SIZE") == "1"


def _in_a_pmix_step() -> bool:
    """Of Slurm, not of a launcher that Slurm has started."""
    by_slurm = os.environ.get("PMIX_NAMESPACE", "").startswith("slurm.")
    return by_slurm and _SLURM_SIZE in os.environ


def ranks_started() -> int:
    """How many processes the job has, as far as the launcher says; 1 if it does not."""
    names = (*_SIZES, _SLURM_SIZE) if _in_a_pmix_step() else _SIZES
    return max(int(os.environ.get(name, "1")) for name in names)


def tasks_without_mpi() -> int:
    """How many processes srun has started of which each trains by itself; 1 if that is meant."""
    if launched() or SWITCH in os.environ:
        return 1
    return int(os.environ.get(_SLURM_SIZE, "1"))


def ranks_on_this_machine() -> int | None:
    """How many processes of the job share this machine; None if the launcher does not say."""
    for name in _LOCAL_SIZES:
        if os.environ.get(name, "").isdecimal():
            return max(1, int(os.environ[name]))
    return None


@cache
def world() -> Any:
    """mpi4py's communicator of all ranks. Raises `ConfigError` if there is no working MPI."""
    try:
        import mpi4py  # noqa: PLC0415

        mpi4py.rc.threads = False
        from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError):
        raise ConfigError(
            "started by an MPI launcher, but mpi4py or the MPI library cannot be loaded;"
            f" pip install 'charlstm[mpi]', or set {SWITCH}=0 to train without"
        ) from None
    started = ranks_started()
    if MPI.COMM_WORLD.Get_size() < started:
        library = MPI.Get_library_version().partition(",")[0].strip()
        raise ConfigError(
            f"the launcher started {started} processes, but they do not see each other: mpi4py"
            f" uses {library:.40}, which is not the launcher's MPI"
        )
    if MPI.COMM_WORLD.Get_rank() == 0:
        atexit.register(tell, None)
    return MPI.COMM_WORLD


def is_helper() -> bool:
    """Whether this process is a rank other than 0."""
    return launched() and bool(world().Get_rank() > 0)


def refuse_to_lead_twice() -> None:
    """End the job if another rank than 0 is about to lead, as in a program that trains by itself.

    An exception would not do: rank 0 would wait for this rank, and this one, to exit, for rank 0.
    """
    if is_helper():
        print(  # noqa: T201
            "Error: under an MPI launcher, train with the command `charlstm train`",
            file=sys.stderr,
            flush=True,
        )
        world().Abort(ConfigError.exit_code)


def tell(setup: Mapping[str, Any] | None) -> None:
    """On rank 0: tell all others what to do, or with None that there is nothing to do."""
    atexit.unregister(tell)
    for rank in range(1, world().Get_size()):
        world().send(setup and dict(setup), rank, _TAG)


def hear() -> dict[str, Any] | None:
    """On the other ranks: wait for what rank 0 tells."""
    while not world().Iprobe(0, _TAG):
        time.sleep(_PAUSE)
    setup: dict[str, Any] | None = world().recv(None, 0, _TAG)
    return setup
