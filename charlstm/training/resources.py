"""How many processes and BLAS threads to use. Imports no NumPy: BLAS reads its limits then."""

import os
from typing import NamedTuple

from charlstm.config.auto import leaves_speed_open
from charlstm.config.settings import Config
from charlstm.nn.blas_threads import blas_environment
from charlstm.system.mpi_launcher import launched, ranks_on_this_machine, ranks_started

# Below this many multiply-adds a step, exchanging gradients costs more than a second core gains.
WORTH_SHARING = 100e6
LEAST_LANES = 4  # a product with fewer rows spends its time reading the weights
# Threads of one product wait for each other by spinning. On a busy machine they may wait for very
# long, and on an idle one only products as large as these gain from more than one.
LANES_FOR_THREADS, UNITS_FOR_THREADS = 32, 512


class Resources(NamedTuple):
    """Processes that share a batch, and threads of the matrix products in each."""

    workers: int
    blas_threads: int

    @property
    def environment(self) -> dict[str, str]:
        """What BLAS libraries read when NumPy is imported; what the user has set, stays."""
        return blas_environment(self.blas_threads)


def environment_for(config: Config) -> dict[str, str]:
    """What to set before NumPy is imported, and so before there is a text to fit ``auto`` to.

    One thread then, which is right wherever the number of processes is left open as well.
    """
    if not leaves_speed_open(config):
        return resources_for(config).environment
    threads = config.training.blas_threads
    return blas_environment(1 if threads == "auto" else threads)


def resources_for(config: Config) -> Resources:
    """What the config asks for; for ``auto``, one process a core while that pays.

    Under MPI the launcher decides how many processes there are, and each of them is one worker.
    """
    training, cores = config.training, _cores()
    if launched():
        workers, neighbours = 1, ranks_on_this_machine() or cores
    else:
        wanted = _workers(config, cores) if training.workers == "auto" else training.workers
        workers = neighbours = min(wanted, training.batch_size)
    if training.blas_threads != "auto":
        return Resources(workers, training.blas_threads)
    lanes = training.batch_size // max(neighbours, ranks_started())
    large = lanes >= LANES_FOR_THREADS and config.model.hidden_size >= UNITS_FOR_THREADS
    return Resources(workers, max(1, cores // neighbours) if large else 1)


def _workers(config: Config, cores: int) -> int:
    if _multiply_adds(config) < WORTH_SHARING:
        return 1
    return max(1, min(cores, config.training.batch_size // LEAST_LANES))


def _cores() -> int:
    """The cores this process may use, which in a container or under taskset are not all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _multiply_adds(config: Config) -> float:
    """Of a training step, forward and backward; the vocabulary hardly counts."""
    model, training = config.model, config.training
    H = model.hidden_size
    weights = 4 * H * H * (2 * model.layers - 1)
    return 3.0 * weights * training.batch_size * training.sequence_length
