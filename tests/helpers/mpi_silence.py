"""Run by test_mpi_comm under a real launcher: rank 1 says nothing for so many seconds."""

import sys
import time

import numpy as np

from charlstm.errors import SystemRefusedError
from charlstm.system.mpi_apart import ApartComm
from charlstm.system.mpi_launcher import world


def main(silence: float, timeout: float) -> None:
    rank = world().Get_rank()
    comm = ApartComm(world(), ["here", "there", "elsewhere"], 0 if rank else timeout)
    vector, scalars = np.full(7, rank, np.float32), np.array([1.0])
    comm.all_reduce(vector, scalars)  # all have come
    if rank == 1:
        time.sleep(silence)
    try:
        comm.all_reduce(vector, scalars)
    except SystemRefusedError as error:
        print(error, flush=True)
        world().Abort(error.exit_code)
    print(f"rank {rank} has {vector[0]:g}, {scalars[0]:g}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
