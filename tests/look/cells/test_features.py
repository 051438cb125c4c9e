"""What can be read off a text, on texts short enough to do it by eye."""

import numpy as np
import pytest

from charlstm.look.cells.features import FEATURES, measured


def value(name: str, text: str) -> str:
    """The feature as a row of digits below the text."""
    feature = next(feature for feature in FEATURES if feature.name == name)
    return "".join(f"{number:.0f}" for number in feature.values(list(text)))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside quotation marks", 'a "bc" d "e', "00111000011"),
        ("inside quotation marks", "a “b” ”c“d", "0011000011"),
        ("inside quotation marks", "„a“ b „c” d", "11000011000"),
        ("inside quotation marks", '«a "b» c"', "111110001"),
        ("inside quotation marks", '"a\nb\n\nc "d"', "11111000110"),
        ("inside brackets", "a (b [c) d] e", "0011111000000"),
        ("depth of brackets", "a (b [c] d) )", "0011122111000"),
        ("depth of brackets", "({[x])y", "1233200"),
        ("position in the line", "ab\nc\n\nde", "01010012"),
        ("after a newline", "a\n\nb", "0110"),
        ("inside a word", "It's 5-é!", "111101010"),
        ("upper case", "aBÉ1", "0110"),
        ("digit", "a1٣-", "0110"),
        ("position in the document", "ab", "01"),
    ],
)
def test_by_eye(name: str, text: str, expected: str) -> None:
    assert value(name, text) == expected


def test_a_column_for_each_feature() -> None:
    text = list('On "page (2)"\nNo. 7')
    table = measured(text)
    assert table.shape == (len(text), len(FEATURES))
    for column, feature in zip(table.T, FEATURES, strict=True):
        np.testing.assert_array_equal(column, feature.values(text))


def test_position_in_the_document_is_a_share() -> None:
    assert measured(list("abcde"))[:, -1].tolist() == [0, 0.25, 0.5, 0.75, 1]
