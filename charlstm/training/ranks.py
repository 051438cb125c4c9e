"""The processes that share the batches of a run: this one alone, local workers, or MPI's ranks."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from charlstm import from_config
from charlstm.config.writing import config_to_dict
from charlstm.nn.model import parameter_count
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone, Comm
from charlstm.system.mpi_comm import leading
from charlstm.system.mpi_launcher import launched
from charlstm.system.shared_comm import local_ranks
from charlstm.training.dataset import Dataset
from charlstm.training.resources import resources_for


def ranks_for(
    dataset: Dataset, folder: RunFolder | None, checkpoint: Path | None
) -> AbstractContextManager[Comm]:
    """Without a ``folder`` nothing is written, and no text kept beside it."""
    config = dataset.config
    resources = resources_for(config)
    setup = {
        "config": config_to_dict(config),
        "folder": None if folder is None else str(folder.path),
        "checkpoint": None if checkpoint is None else str(checkpoint),
        "environment": resources.environment,
        "text": dataset.identity.stated(),
    }
    if launched():
        return leading(setup, config.training.batch_size, config.training.rank_timeout)
    if resources.workers == 1:
        return nullcontext(Alone())
    shape = from_config.shape_of(config, dataset.corpus.vocabulary.size)
    states = shape.layers * 2 * config.training.batch_size * shape.hidden_size
    largest = max(parameter_count(shape), states) * np.dtype(shape.dtype).itemsize
    return local_ranks(resources.workers, largest, setup, resources.environment)
