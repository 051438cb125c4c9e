"""The files that come with every installation: recipes, a text and a list to train on.

In a checkout ``configs/`` and ``data/`` have links to them.
"""

from importlib import resources
from pathlib import Path

from charlstm.config.writing import written

RECIPES = ("quickstart", "char-rnn", "shakespeare", "ships", "names")
TEXT = "harbour.txt"
TEXTS = (TEXT, "ships.txt", "ships-held-out.txt")


def shipped(name: str) -> Path:
    return Path(str(resources.files("charlstm").joinpath("shipped", name)))


def recipe(name: str) -> str:
    """The YAML of one of `RECIPES`, as it is written but for the places of texts that ship."""
    settings = shipped(f"{name}.yaml").read_text(encoding="utf-8")
    for text in TEXTS:
        settings = settings.replace(f"../data/{text}", written(str(shipped(text))))
    return settings
