"""How many processes and BLAS threads to use. Imports no NumPy: BLAS reads its limits then."""

import os
from typing import NamedTuple

from charlstm.config import Config

BLAS_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Below this many multiply-adds a step, exchanging gradients costs more than a second core gains.
WORTH_SHARING = 100e6
LEAST_LANES = 8  # a product with fewer rows spends its time reading the weights


class Resources(NamedTuple):
    """Processes that share a batch, and threads of the matrix products in each."""

    workers: int
    blas_threads: int

    @property
    def environment(self) -> dict[str, str]:
        """What BLAS libraries read when NumPy is imported; what the user has set, stays."""
        return {name: os.environ.get(name, str(self.blas_threads)) for name in BLAS_VARIABLES}


def resources_for(config: Config) -> Resources:
    """What the config asks for; for ``auto``, one process a core while that pays."""
    training = config.training
    cores = _cores()
    workers = _workers(config, cores) if training.workers == "auto" else training.workers
    workers = min(workers, training.batch_size)
    threads = training.blas_threads
    return Resources(workers, max(1, cores // workers) if threads == "auto" else threads)


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
