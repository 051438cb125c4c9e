"""Run by test_mpi_comm under a real launcher: every operation, with known results."""

import sys
from itertools import product

import numpy as np

from charlstm.system.comm import Comm
from charlstm.system.mpi_apart import PIECE, ApartComm
from charlstm.system.mpi_comm import MpiComm
from charlstm.system.mpi_launcher import hear, is_helper, ranks_on_this_machine, tell, world

LENGTHS = (101, PIECE + 7)  # one piece or less, and more than one for each of three ranks


def vector_of(rank: int, dtype: str, length: int) -> np.ndarray:
    return np.random.default_rng(rank).standard_normal(length).astype(dtype)


def check_operations(comm: Comm) -> None:
    ranks = range(comm.size)
    for dtype, length in product(("float32", "float64"), LENGTHS):
        vector = vector_of(comm.rank, dtype, length)
        scalars = np.array([0.1 * comm.rank, 1.0, 7.0])
        comm.all_reduce(vector, scalars)
        expected = vector_of(0, dtype, length)
        for rank in ranks[1:]:
            expected = expected + vector_of(rank, dtype, length)
        assert vector.tobytes() == expected.tobytes()
        assert scalars.tolist() == [sum(0.1 * r for r in ranks), comm.size, 7.0 * comm.size]

    scalars = np.array([comm.rank + 1.0])
    comm.all_reduce(np.zeros(0), scalars)
    assert scalars[0] == sum(rank + 1 for rank in ranks)

    array = np.full((2, 3), comm.rank, np.float32) + np.arange(3, dtype=np.float32)
    comm.broadcast(array)
    assert array.tolist() == [[0, 1, 2], [0, 1, 2]]

    share = np.full((2, comm.rank + 1, 3), comm.rank, np.float32)
    joined = comm.gather(share, axis=1)
    if comm.rank:
        assert joined is share
    else:
        assert joined.shape == (2, sum(rank + 1 for rank in ranks), 3)
        assert joined[1, :, 2].tolist() == [rank for rank in ranks for _ in range(rank + 1)]


def main() -> None:
    message = {"numbers": [1, 2.5], "text": "\u00e9"}
    if is_helper():
        assert hear() == message
    else:
        tell(message)
    assert ranks_on_this_machine() == world().Get_size()
    machines = [f"n{rank}" for rank in range(world().Get_size())]
    check_operations(MpiComm(world()))
    for timeout in (0, 30):
        check_operations(ApartComm(world(), machines, timeout))
    sys.stdout.write(f"rank {world().Get_rank()} of {world().Get_size()} agrees\n")


if __name__ == "__main__":
    main()
