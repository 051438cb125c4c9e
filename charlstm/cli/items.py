"""What the commands say of the items of a list."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlstm.look.item_scores import ItemScore, ItemsToScore
    from charlstm.saved.checkpoint import LoadedModel
    from charlstm.text.parts import Name


def is_of_a_list(loaded: "LoadedModel") -> bool:
    return loaded.config.data.items != "none"


def items_to_score(
    names: Sequence[Path],
    part: "Name | None",
    loaded: "LoadedModel",
    *,
    sort: bool,
    percentile: bool,
) -> "ItemsToScore":
    """A list, or a part of the model's own. Raises `FileError`."""
    from charlstm.look.item_scores import calibrated, list_to_score, part_of_list

    text = part_of_list(part, loaded, names) if part else list_to_score(names, loaded)
    text.most_surprising_first = sort
    if percentile:
        calibrated(text, part_of_list("validation", loaded, names if part else ()), loaded)
    return text


def rows_of_items(text: "ItemsToScore", loaded: "LoadedModel") -> Iterator[dict[str, Any]]:
    from charlstm.training.console import watched

    for _ in watched(text.losses(loaded), text.predictions):
        pass
    return (item_row(score) for score in text.computed(loaded))


def item_row(score: "ItemScore") -> dict[str, Any]:
    usual = {} if score.percentile is None else {"percentile": score.percentile}
    return {
        "item": score.number,
        "characters": score.characters,
        "bits": score.bits,
        "bits_per_char": score.bits_per_character,
        "rank": score.rank,
        **usual,
        "text": score.text,
    }
