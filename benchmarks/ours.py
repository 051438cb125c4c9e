"""Our side: the trainer that ``charlstm train`` runs, with its workers, on random text."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from charlstm.config.reading import config_from_dict
from charlstm.config.settings import Config
from charlstm.nn.blas_threads import blas_environment
from charlstm.training.resources import resources_for

V = 65


def config_for(folder: str, B: int, T: int, H: int, L: int) -> Config:
    text = Path(folder) / "text.txt"
    return config_from_dict(
        {
            "data": {"files": [str(text)], "validation_fraction": 0.0},
            "model": {"layers": L, "hidden_size": H, "embedding_size": 0, "dropout": 0},
            "training": {
                "batch_size": B,
                "sequence_length": T,
                "learning_rate": 1e-3,
                "epochs": 50,
                "workers": _setting("BENCH_WORKERS"),
                "blas_threads": _setting("BENCH_THREADS"),
            },
            "schedule": {"kind": "constant"},
        },
        "benchmark",
    )


def _setting(name: str) -> int | str:
    value = os.environ.get(name, "auto")
    return value if value == "auto" else int(value)


# BLAS reads how many threads it may have when NumPy is imported, so that must wait until the
# first command says what will be trained.
@contextmanager
def training(B: int, T: int, H: int, L: int, characters: int = 0) -> Iterator[Callable[[], None]]:
    with TemporaryDirectory() as folder:
        config = config_for(folder, B, T, H, L)
        os.environ.update(resources_for(config).environment)

        import numpy as np

        from charlstm.saved.run_folder import RunFolder
        from charlstm.training import run
        from charlstm.training.console import say_nothing
        from charlstm.training.dataset import cache_beside, read_dataset
        from charlstm.training.products import with_quickest_products
        from charlstm.training.setup import prepare
        from charlstm.training.trainer import Requests

        ids = np.random.default_rng(1).integers(0, V, characters or 100 * B * T + B, np.uint8)
        (Path(folder) / "text.txt").write_bytes((40 + ids).tobytes())
        dataset = read_dataset(config, cache_beside(Path(folder), say_nothing))
        dataset = with_quickest_products(dataset, None)
        with run.ranks_for(dataset, RunFolder(Path(folder)), None) as comm:
            trainer, _ = prepare(dataset, comm, None)
            yield lambda: trainer.step(Requests()) and None


def sampling(count: int) -> Callable[[int], None]:
    os.environ.update(blas_environment(1))  # as `charlstm sample` does

    import numpy as np

    from charlstm.nn.model import CharLM, Shape
    from charlstm.nn.sampling import Choice, generate

    model = CharLM(Shape(V, layers=2, hidden_size=128))
    start = np.zeros(1, np.uint8)

    def make(length: int) -> None:
        for _ in generate(model, start, count=count, length=length, choice=Choice(), seed=1):
            pass

    return make


if __name__ == "__main__":
    from serve import serve

    serve(training, sampling)
