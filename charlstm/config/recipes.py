"""The files that come with every installation: recipes, and a text to train on.

In a checkout ``configs/`` and ``data/`` have links to them.
"""

from importlib import resources
from pathlib import Path

from charlstm.config.writing import written

RECIPES = ("quickstart", "char-rnn", "shakespeare")
TEXT = "harbour.txt"


def shipped(name: str) -> Path:
    return Path(str(resources.files("charlstm").joinpath("shipped", name)))


def recipe(name: str) -> str:
    """The YAML of one of `RECIPES`, as it is written but for the place of the text that ships."""
    text = shipped(f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace(f"../data/{TEXT}", written(str(shipped(TEXT))))
