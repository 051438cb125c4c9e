"""The list that ships, and what each of its ships costs its source."""

import json
import math
import sys
from pathlib import Path

import pytest
from places import ROOT

DATA = ROOT / "data"
sys.path.insert(0, str(DATA))

import ships  # noqa: E402
from grammar import Grammar  # noqa: E402


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return ships.load_grammar()


def test_the_lists_are_those_of_the_seed(grammar: Grammar):
    for name, drawn in ships.written(grammar).items():
        assert (DATA / name).read_text(encoding="ascii") == "".join(f"{ship}\n" for ship in drawn)


def test_the_bits_are_those_of_the_source(grammar: Grammar):
    lines = (DATA / "ships-held-out.txt").read_text(encoding="ascii").splitlines()
    beside = json.loads((DATA / "ships-held-out.entropy.json").read_text(encoding="ascii"))
    each = [ships.bits_of(grammar, line) for line in lines]
    assert beside["bits"] == pytest.approx(math.fsum(each), rel=1e-12)
    assert beside["characters"] == sum(len(line) + 1 for line in lines)


def test_a_ship_by_hand(grammar: Grammar):
    """4 of 20 are ketches, 5 of 24 names a woman, 2 of 14 Ellen, 3 of 7 fish, of 20 to 60 tons."""
    p = 4 / 20 * 5 / 24 * 2 / 14 * 3 / 7 / 41
    assert ships.bits_of(grammar, "ketch Ellen, fishing, 31 tons") == pytest.approx(-math.log2(p))
    with pytest.raises(ValueError, match="no ship of this grammar"):
        ships.bits_of(grammar, "ketch Ellen, fishing, 61 tons")


def test_the_recipe_knows_where_its_lists_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from charlstm.config.reading import load_config
    from charlstm.config.recipes import recipe
    from charlstm.training.dataset import read_dataset

    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(recipe("ships"), encoding="utf-8")
    dataset = read_dataset(load_config(Path("c.yaml")))
    assert dataset.text.validation == 48_451
    assert dataset.source_bits == pytest.approx(0.46254740, abs=1e-8)
