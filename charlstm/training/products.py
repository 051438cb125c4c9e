"""Which products a run needs, and how this machine computes them fastest: measured once."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from charlstm.config.schema import with_values
from charlstm.config.settings import AUTO, Config
from charlstm.from_config import shape_of
from charlstm.nn.cuts import Sizes, quickest_of, written
from charlstm.nn.model import Shape
from charlstm.system.comm import lane_range
from charlstm.system.mpi_launcher import launched, ranks_started
from charlstm.training.dataset import Dataset
from charlstm.training.resources import resources_for


def with_quickest_products(dataset: Dataset, known: Config | None) -> Dataset:
    """With what was measured, or what ``known`` says, the configuration of a run that goes on.

    A run of before there was anything to choose goes on by the rule that it began with.
    """
    if dataset.config.training.products != AUTO:
        return dataset
    products = known.training.products if known is not None else measured(dataset)
    return replace(dataset, config=with_values(dataset.config, {"training.products": products}))


def measured(dataset: Dataset) -> str:
    """For every number of lanes that a process of this run has; as the setting is written."""
    config = dataset.config
    shape = shape_of(config, dataset.corpus.vocabulary.size)
    return written(quickest_of(dict(_needed(config, shape)), np.dtype(shape.dtype)))


def _needed(config: Config, shape: Shape) -> Iterator[tuple[Sizes, int]]:
    """Sizes, and how many products use a weight once cut: that of the recurrence serves a batch."""
    H, T = shape.hidden_size, config.training.sequence_length
    for lanes in _lanes(config):
        yield Sizes(lanes, H, H), T
        first_dense = 0 if shape.embeds_each(T * lanes) else 1
        for D in {shape.input_size(n) for n in range(first_dense, min(2, shape.layers))}:
            yield Sizes(T * lanes, D, H), 1
            yield Sizes(T * lanes, H, D), 1


def _lanes(config: Config) -> set[int]:
    batch = config.training.batch_size
    ranks = ranks_started() if launched() else resources_for(config).workers
    ranges = (lane_range(batch, rank, ranks) for rank in range(ranks))
    return {stop - first for first, stop in ranges} - {0}
