"""How many of the items that a model writes stand in the list that it learned from."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charlstm.from_config import item_rules_of, text_rules_of
from charlstm.look.originality import EXAMPLES, NAMED_BY, ids_of, validation_is_known
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.own_text import own_part
from charlstm.text.items import Items
from charlstm.text.marking import Found, marked
from charlstm.text.parts import Name
from charlstm.text.vocabulary import MARK, MOST_LABELS, AnyIds

_MARKS = f"[{chr(MARK)}-{chr(MARK + MOST_LABELS)}]"


@dataclass(frozen=True)
class KnownItem:
    """Number ``number`` of what was written is number ``place`` of the list, of its items that are
    not empty; all from 1.
    """

    number: int
    text: str
    place: int


@dataclass(frozen=True)
class ItemOriginality:
    """Shares of the ``items`` that were written: how many different ones there are; those in the
    training part, in the validation part, and in neither. None where nothing was written.

    ``held_out``: of the validation items those that are in the training part; None, as
    ``in_validation``, where a run keeps none. ``examples``: the longest that were copied.
    """

    items: int
    distinct: float | None
    in_training: float | None
    in_validation: float | None
    new: float | None
    held_out: float | None
    examples: tuple[KnownItem, ...]


def item_originality(
    loaded: LoadedModel, texts: Sequence[str], moved_to: Sequence[Path] = ()
) -> ItemOriginality:
    """Look for ``texts``, each an item, in the model's list, which may lie elsewhere by now.

    Raises `FileError` if it is not the one that the model was trained on.
    """
    written = [_key(ids_of(text, loaded)) for text in texts]
    known = validation_is_known(loaded, moved_to)
    validation = Counter[bytes]()
    if known:
        validation.update(said for said, _ in _keys(_part("validation", loaded, moved_to)))
    train, wanted = _part("train", loaded, moved_to), set(written)
    starts: dict[bytes, int] = {}
    repeated = set()
    for said, start in _keys(train):
        if said in wanted:
            starts.setdefault(said, start)
        if said in validation:
            repeated.add(said)
    number = len(written)
    in_training, in_validation = (
        [said in part for said in written] for part in (starts, validation)
    )
    seen = np.logical_or(in_training, in_validation)
    return ItemOriginality(
        items=number,
        distinct=_share(len(wanted), number),
        in_training=_share(sum(in_training), number),
        in_validation=_share(sum(in_validation), number) if known else None,
        new=_share(number - int(seen.sum()), number),
        held_out=_share(sum(validation[said] for said in repeated), validation.total()),
        examples=_examples(texts, [starts.get(said) for said in written], train, loaded),
    )


def items_in(text: str, loaded: LoadedModel) -> list[str]:
    """The items of a list, without their labels. Raises `FileError` for labels of another one."""
    rules, found = item_rules_of(loaded.config), Found()
    assert rules is not None
    found.settle(loaded.vocabulary.labels)
    is_bytes = loaded.vocabulary.unit == "bytes"
    pieces = [text] if is_bytes else text_rules_of(loaded.config).applied([text])
    starts = _MARKS if rules.labels else re.escape(rules.end)
    as_text = rules._replace(in_bytes=False)
    return re.split(starts, "".join(marked(pieces, as_text, found)))[1:]


def _part(name: Name, loaded: LoadedModel, moved_to: Sequence[Path]) -> Items:
    own = own_part(name, loaded, moved_to, named_by=NAMED_BY).part
    assert isinstance(own, Items)
    return own


def _keys(items: Items) -> Iterator[tuple[bytes, int]]:
    """Of each item what it says, without its start symbol, and where it starts."""
    for number in range(items.count):
        yield _key(items.item(number)[1:]), int(items.starts[number])


def _key(ids: AnyIds) -> bytes:
    return ids.astype(np.int64).tobytes()


def _share(number: int, of: int) -> float | None:
    return number / of if of else None


def _examples(
    texts: Sequence[str], starts: Sequence[int | None], train: Items, loaded: LoadedModel
) -> tuple[KnownItem, ...]:
    copied = [(number, start) for number, start in enumerate(starts) if start is not None]
    first = {texts[number]: (number, start) for number, start in reversed(copied)}
    longest = sorted(first, key=lambda text: (-len(text), first[text]))[:EXAMPLES]
    return tuple(
        KnownItem(first[text][0] + 1, text, 1 + _items_before(first[text][1], train, loaded))
        for text in longest
    )


def _items_before(start: int, train: Items, loaded: LoadedModel) -> int:
    """Of the whole list, of which the training part is some items."""
    rules = item_rules_of(loaded.config)
    assert rules is not None
    begins = rules.start_ids(loaded.vocabulary)
    return int(np.isin(np.asarray(train.ids[:start]), begins).sum())
