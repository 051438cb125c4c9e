"""The program of a worker: the same training as rank 0's, on other lanes, without a voice."""

import os
import sys
from pathlib import Path

from charlstm import run
from charlstm.checkpoint import read_checkpoint
from charlstm.config import config_from_dict
from charlstm.errors import DivergedError
from charlstm.recorder import NoRecorder
from charlstm.shared_comm import PeerLostError, join
from charlstm.trainer import Wishes
from charlstm.training import train


def main(socket_descriptor: int, memory_descriptor: int) -> None:
    comm, setup = join(socket_descriptor, memory_descriptor)
    config = config_from_dict(setup["config"], "worker")
    checkpoint = setup["checkpoint"] and read_checkpoint(Path(setup["checkpoint"]))
    material = run.read_material_for(config)
    trainer, progress = run.prepare(config, material, comm, checkpoint)
    train(
        trainer,
        run.evaluation_of(config, material, trainer),
        run.plan_of(config, material.total_steps),
        progress,
        recorder=NoRecorder(),
        wishes=Wishes,
    )


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]))
    except (PeerLostError, DivergedError):
        os._exit(0)  # rank 0 has gone, or has the same to say and says it
