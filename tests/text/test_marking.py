"""A list as a stream of marks and items, wherever the blocks of its file are cut."""

import numpy as np
import pytest

from charlstm.text.marking import Found, ItemRules, LabelError, marked
from charlstm.text.vocabulary import MARK

M = [chr(MARK + number) for number in range(4)]
LISTS = [
    (ItemRules("lines"), "a\nbb\n\nc", "\na\nbb\nc", 1),
    (ItemRules("lines"), "a\nb\n", "\na\nb", 0),
    (ItemRules("lines"), "\n\n", "", 2),
    (ItemRules("paragraphs"), "a\nb\n\nc\n\n\n \nd\n", f"{M[0]}a\nb{M[0]}c{M[0]}d", 0),
    (ItemRules("paragraphs"), "\n\na\n \n\n  b\r\n\r\nc\r\n", f"{M[0]}a{M[0]}  b{M[0]}c", 0),
    (ItemRules("paragraphs"), "a\n \tb\n\n\n", f"{M[0]}a\n \tb", 0),
    (
        ItemRules("paragraphs"),
        " \n\t\na\r\n b\n \n\n  \n\r\nc\r\r\n\n \t",
        f"{M[0]}a\r\n b{M[0]}c\r",
        0,
    ),
    (ItemRules("paragraphs"), " \n  \n \t\r", "", 0),
    (ItemRules("\n--\n"), "a\n--\nb\nc\n--\n\n--\nd\n", f"{M[0]}a{M[0]}b\nc{M[0]}d", 1),
    (ItemRules("\n--\n"), "--\na\n-\n--\nb", f"{M[0]}--\na\n-{M[0]}b", 0),
    (ItemRules("aab"), "xaaabyaabaabz", f"{M[0]}xa{M[0]}y{M[0]}z", 1),
    (ItemRules("|"), "a|\r\n|b\r|\rc\r\n", f"{M[0]}a{M[0]}\r\n{M[0]}b\r{M[0]}\rc", 0),
    (ItemRules("é", in_bytes=True), "a\xc3\xa9b\xe9\n", f"{M[0]}a{M[0]}b\xe9", 0),
    (ItemRules("lines", True), "b\tx y\na\tc\td\n\nb\tx\nb\t\n", f"{M[0]}x y{M[1]}c\td{M[0]}x", 2),
    (ItemRules("\n%\n", True), "b\tx y\n%\na\tB\n", f"{M[1]}x y{M[2]}B", 0),
    (ItemRules("paragraphs", True), "b\tx\n\n\na\ty\nz\n", f"{M[1]}x{M[2]}y\nz", 0),
]


def of(pieces: list[str], rules: ItemRules) -> tuple[str, int]:
    found = Found()
    return "".join(marked(pieces, rules, found)), found.empty


@pytest.mark.parametrize(("rules", "text", "stream", "empty"), LISTS)
def test_items_begin_with_a_mark_wherever_the_text_is_cut(
    rng, rules: ItemRules, text: str, stream: str, empty: int
) -> None:
    assert of([text], rules) == (stream, empty)
    assert of(list(text), rules) == (stream, empty)
    for _ in range(50):
        cuts = sorted(rng.integers(0, len(text) + 1, 3).tolist())
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert of(pieces, rules) == (stream, empty), pieces


def test_labels_that_are_known_have_the_order_of_their_names() -> None:
    found = Found()
    text = ["spam\ta\nham\tb\n"]
    assert "".join(marked(text, ItemRules("lines", True), found)) == f"{M[0]}a{M[1]}b"
    found.settle(found.labels)
    assert "".join(marked(text, ItemRules("lines", True), found)) == f"{M[1]}a{M[0]}b"
    with pytest.raises(LabelError, match="label 'eggs' is none of the model's"):
        list(marked(["eggs\ta\n"], ItemRules("lines", True), found))


def test_labels_of_bytes_are_text() -> None:
    found = Found()
    text = ["\xc3\xa9\ta|e\tb"]
    list(marked(text, ItemRules("|", True, in_bytes=True), found))
    assert list(found.labels) == ["é", "e"]
    with pytest.raises(LabelError, match=r"item 2: its label is no UTF-8: 'café'"):
        list(marked(["e\ta|caf\xe9\tb"], ItemRules("|", True, in_bytes=True), Found()))


@pytest.mark.parametrize("line", ["no tab", "\tno label"])
def test_an_item_without_label_is_told_with_its_number(line: str) -> None:
    with pytest.raises(LabelError, match="item 3: no label and tab first"):
        of([f"a\tb\na\tc\n{line}\n"], ItemRules("lines", True))


def test_too_many_labels_are_none() -> None:
    text = "".join(f"{number}\tx\n" for number in np.arange(1001))
    with pytest.raises(LabelError, match="more than 1,000 labels"):
        of([text], ItemRules("lines", True))
