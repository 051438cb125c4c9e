"""How many processes and threads ``auto`` means."""

import os
from typing import Any

import pytest

from charlstm.config.reading import config_from_dict
from charlstm.config.settings import Config
from charlstm.training import resources
from charlstm.training.resources import resources_for


def config_of(B: int, T: int, H: int, L: int = 1, **training: Any) -> Config:
    return config_from_dict(
        {
            "data": {"files": ["text.txt"]},
            "model": {"layers": L, "hidden_size": H},
            "training": {"batch_size": B, "sequence_length": T, **training},
        },
        "test",
    )


@pytest.fixture
def machine(monkeypatch):
    def with_cores(cores: int, *, ranks: int | None = None) -> None:
        monkeypatch.setattr(resources, "_cores", lambda: cores)
        monkeypatch.setattr(resources, "launched", lambda: ranks is not None)
        monkeypatch.setattr(resources, "ranks_on_this_machine", lambda: ranks)

    return with_cores


@pytest.mark.parametrize(
    ("cores", "config", "expected"),
    [
        (1, config_of(50, 50, 128, 2), (1, 1)),
        (2, config_of(50, 50, 128, 2), (2, 1)),
        (2, config_of(1, 25, 100), (1, 1)),  # too little to share
        (2, config_of(8, 50, 512), (2, 1)),
        (2, config_of(7, 50, 1024), (1, 1)),  # too few lanes to share
        (64, config_of(32, 50, 512), (8, 1)),
        (2, config_of(100, 50, 512, workers=1), (1, 2)),
        (2, config_of(32, 50, 512, workers=1), (1, 2)),
        (2, config_of(31, 50, 512, workers=1), (1, 1)),  # or too few lanes
        (2, config_of(100, 50, 256, workers=1), (1, 1)),  # products too small for threads
        (8, config_of(100, 50, 512, workers=3), (3, 2)),
        (2, config_of(100, 50, 512, workers=1, blas_threads=1), (1, 1)),
        (2, config_of(4, 50, 512, workers=8), (4, 1)),  # no worker without a lane
    ],
)
def test_workers_and_threads(machine, cores: int, config: Config, expected) -> None:
    machine(cores)
    assert resources_for(config) == expected


@pytest.mark.parametrize(("ranks", "threads"), [(1, 8), (2, 4), (8, 1)])
def test_under_mpi_a_rank_is_one_worker_and_shares_the_cores(machine, ranks, threads) -> None:
    machine(8, ranks=ranks)
    assert resources_for(config_of(256, 50, 512, workers=5)) == (1, threads)


def test_ranks_on_other_machines_have_their_lanes_too(machine, monkeypatch) -> None:
    machine(8, ranks=2)
    monkeypatch.setattr(resources, "ranks_started", lambda: 8)
    assert resources_for(config_of(64, 50, 512)) == (1, 1)
    assert resources_for(config_of(256, 50, 512)) == (1, 4)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_the_cores_are_those_this_process_may_use() -> None:
    cores = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, cores[:1])
        assert resources_for(config_of(50, 50, 128, 2)) == (1, 1)
    finally:
        os.sched_setaffinity(0, cores)
