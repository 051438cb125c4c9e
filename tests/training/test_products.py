"""How a run's matrix products are cut: measured at its start, written down, and kept."""

from pathlib import Path

import pytest
from tiny import all_that_counts, differing, newest, tiny_config, train

from charlstm.config.reading import load_config
from charlstm.nn.cuts import Sizes
from charlstm.nn.tiles import Tiling
from charlstm.training import products
from charlstm.training.dataset import read_dataset
from charlstm.training.products import measured

LONG_ENOUGH = {
    "model.hidden_size": 8,
    "training.sequence_length": 9,
    "training.products": "auto",
}
THEN, NOW = "3x8x8:3x4", "3x8x8:1x2"


def say(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    """As if this were quickest."""
    monkeypatch.setattr(products, "measured", lambda config: found)


def test_what_was_measured_is_written_down_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tiny_config(tmp_path, **LONG_ENOUGH)
    say(monkeypatch, THEN)
    train(config, tmp_path / "straight")
    train(config, tmp_path / "run", stop_after=7)
    assert load_config(tmp_path / "run" / "config.yaml").training.products == THEN
    say(monkeypatch, NOW)
    train(config, tmp_path / "run", resume=True)
    assert newest(tmp_path / "run").config.training.products == THEN
    outcome, expected = all_that_counts(tmp_path / "run"), all_that_counts(tmp_path / "straight")
    assert differing(outcome, expected) == []


def test_what_is_stated_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tiny_config(tmp_path, **(LONG_ENOUGH | {"training.products": NOW}))
    monkeypatch.setattr(products, "measured", pytest.fail)
    train(config, tmp_path / "run")
    assert newest(tmp_path / "run").config.training.products == NOW


def test_the_layers_of_a_run_compute_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def of(self, *sizes: int) -> Tiling:
        asked.append((self.stated, sizes))
        return self.stated.get(Sizes(*sizes), Tiling(sizes[0], sizes[2]))

    monkeypatch.setattr("charlstm.nn.cuts.Cuts.of", of)
    train(tiny_config(tmp_path, **(LONG_ENOUGH | {"training.products": NOW})), tmp_path / "run")
    stated = {Sizes(3, 8, 8): Tiling(1, 2)}
    assert (stated, (3, 8, 8)) in asked
    assert all(found == stated for found, _ in asked)


def test_an_old_run_goes_on_by_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One of a version that had nothing to choose, and so kept ``auto``."""
    config = tiny_config(tmp_path, **LONG_ENOUGH)
    say(monkeypatch, "auto")
    train(config, tmp_path / "run", stop_after=7)
    say(monkeypatch, THEN)
    train(config, tmp_path / "run", resume=True)
    assert newest(tmp_path / "run").config.training.products == "auto"


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("symbols", [5, 60])
def test_each_number_of_lanes_that_a_process_has_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, symbols: int
):
    config = tiny_config(
        tmp_path,
        "".join(map(chr, range(65, 65 + symbols))) * 40,
        **{"model.embedding_size": 7, "training.batch_size": 10, "training.workers": workers},
    )
    needs = {}
    monkeypatch.setattr(products, "quickest_of", lambda found, dtype: needs.update(found) or {})
    assert measured(read_dataset(config)) == "whole"
    T, H, E = 4, 5, 7
    embedded = ((E, H), (H, E)) if symbols == 60 else ()  # of five, no product is large
    expected = {}
    for lanes in {1: [10], 3: [3, 4]}[workers]:
        expected[Sizes(lanes, H, H)] = T
        for sizes in (*embedded, (H, H)):
            expected[Sizes(T * lanes, *sizes)] = 1
    assert needs == expected
