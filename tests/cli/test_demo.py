"""What works after an installation, without a checkout: the demonstration and the recipes."""

import shutil
from pathlib import Path

import pytest
from places import ROOT

from charlstm.config.reading import load_config
from charlstm.config.recipes import RECIPES, TEXTS, shipped
from charlstm.saved.checkpoint import load_model

SHORT = ["training.steps=2", "schedule.warmup_steps=1", "training.workers=1"]


def test_the_demonstration(call, folder: Path):
    code, out, err = call("demo", *SHORT)
    assert (code, out) == (0, "runs/demo\n")
    assert "harbour.txt: 1,002,253 characters" in err
    assert "above the best that any model could reach" in err
    config = load_model(folder / "runs/demo").config
    assert (config.model.cell, config.training.learning_rate) == ("layer-norm", 0.01)
    assert call("demo", *SHORT).err.startswith("Already finished at step 2.")
    assert call("demo", *SHORT, "--out", "elsewhere", "-q") == (0, "elsewhere\n", "")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_what_the_checkout_shows(call, folder: Path, name: str):
    printed = call("config", "--recipe", name).out
    own = (ROOT / "configs" / f"{name}.yaml").read_text()
    for text in TEXTS:
        printed = printed.replace(str(shipped(text)), f"../data/{text}")
    assert printed == own
    printed = call("config", "--recipe", name).out
    assert call("config", "--recipe", name, "-o", "my.yaml").code == 0
    assert (folder / "my.yaml").read_text() == printed
    load_config(folder / "my.yaml")


def test_the_quick_start_can_be_trained_from_anywhere(call, folder: Path):
    assert call("config", "--recipe", "quickstart", "-o", "my.yaml").code == 0
    assert call("train", "my.yaml", *SHORT, "-q").out == "runs/my\n"


def test_a_recipe_is_no_other_configuration(refuse, folder: Path):
    message = refuse(2, "config", "c.yaml", "--recipe", "quickstart")
    assert "--recipe prints a file of ours as it is; leave out CONFIG" in message
    assert "'shakespear' is not one of" in refuse(2, "config", "--recipe", "shakespear")


def test_a_place_with_odd_signs(call, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Where a package is installed is not ours to choose."""
    odd = folder / "my [site], #1"
    shutil.copytree(shipped("."), odd / "shipped")
    monkeypatch.setattr("charlstm.config.recipes.shipped", lambda name: odd / "shipped" / name)
    monkeypatch.setattr("charlstm.cli.demo.shipped", lambda name: odd / "shipped" / name)
    assert call("demo", *SHORT, "-q").out == "runs/demo\n"
    assert call("config", "--recipe", "quickstart", "-o", "my.yaml").code == 0
    assert call("train", "my.yaml", *SHORT, "-q").out == "runs/my\n"
