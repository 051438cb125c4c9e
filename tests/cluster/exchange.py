"""Run under srun by links.py: milliseconds of an all-reduce, in pieces and by the MPI library.

One after the other, many times, so that whatever else the machine does disturbs both alike.
"""

import json
import sys
import time

import numpy as np

from charlstm.system.mpi_apart import ApartComm
from charlstm.system.mpi_comm import MpiComm
from charlstm.system.mpi_launcher import world


def main(length: int, times: int) -> None:
    ranks = world().Get_size()
    both = (ApartComm(world(), ["some host"] * ranks, 60), MpiComm(world()))
    vector = np.zeros(length, np.float32)
    scalars = np.zeros(3)
    took: list[list[float]] = [[], []]
    for _ in range(times + 1):
        for comm, figures in zip(both, took, strict=True):
            world().Barrier()
            started = time.perf_counter()
            comm.all_reduce(vector, scalars)
            figures.append(1e3 * (time.perf_counter() - started))
    if world().Get_rank() == 0:
        print(json.dumps([figures[1:] for figures in took]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
