"""The program of a worker: the same training as rank 0's, on other lanes, without a voice."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charlstm.config.reading import config_from_dict
from charlstm.errors import DivergedError, FileError, SystemRefusedError, UserError
from charlstm.messages import show
from charlstm.saved.checkpoint import read_checkpoint
from charlstm.system.comm import Comm
from charlstm.system.shared_comm import PeerLostError, failures_told, join
from charlstm.training.console import say_nothing
from charlstm.training.dataset import cache_beside, read_dataset
from charlstm.training.loop import train
from charlstm.training.recorder import NoRecorder
from charlstm.training.setup import evaluation_of, plan_of, prepare
from charlstm.training.trainer import Requests


def work(comm: Comm, setup: Mapping[str, Any]) -> None:
    """Take part in the training that rank 0 describes in ``setup``, to its end.

    A divergence is found on every rank alike, and rank 0 reports it: it ends the work, no more.
    """
    config = config_from_dict(setup["config"], "worker")
    checkpoint = setup["checkpoint"] and read_checkpoint(Path(setup["checkpoint"]))
    cache = setup["folder"] and cache_beside(Path(setup["folder"]), say_nothing)
    dataset = read_dataset(config, cache, checkpoint)
    if dataset.identity.stated() != setup["text"]:
        names = ", ".join(map(show, dataset.corpus.files))
        raise FileError(f"{names}: rank {comm.rank} reads another text there than rank 0")
    trainer, progress = prepare(dataset, comm, checkpoint)
    evaluation = evaluation_of(dataset, trainer)
    plan = plan_of(dataset)
    try:
        train(trainer, evaluation, plan, progress, recorder=NoRecorder(), requests=Requests)
    except DivergedError:
        return


def main(socket_descriptor: int, memory_descriptor: int) -> None:
    comm, setup = join(socket_descriptor, memory_descriptor)
    with failures_told(comm):
        work(comm, setup)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]))
    except PeerLostError:
        os._exit(0)  # rank 0 has gone
    except UserError as error:
        os._exit(error.exit_code)  # rank 0 has been told and says it
    except MemoryError:
        os._exit(SystemRefusedError.exit_code)  # so it has
