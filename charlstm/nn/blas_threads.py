"""The number of threads in a matrix product. BLAS libraries read it when NumPy is imported."""

import os

_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def blas_environment(threads: int) -> dict[str, str]:
    """What to put into the environment before NumPy is imported; what the user has set, stays."""
    return {name: os.environ.get(name, str(threads)) for name in _VARIABLES}


def products_use_one_thread() -> bool:
    """Whether the environment tells OpenBLAS so; without a word, it takes all cores."""
    wanted = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    return wanted == "1"
