"""The lists for trying what docs/items.md shows: data/lists.py, and benchmarks/labels.py."""

import re
import sys
from collections import Counter
from pathlib import Path

import pytest
from places import ROOT

sys.path[:0] = [str(ROOT / "data"), str(ROOT / "benchmarks")]

import labels  # noqa: E402
import lists  # noqa: E402


@pytest.mark.parametrize("name", ["molecules", "log"])
def test_a_grammar_writes_what_it_reads(name: str):
    grammar, items = lists.grammar_of(name), lists.some(name, 100, seed=3)
    assert len(set(items)) == 100
    assert items == lists.some(name, 100, seed=3) != lists.some(name, 100, seed=4)
    assert all(lists.is_written_by(grammar, item) for item in items)
    assert lists.checked(name, [*items, items[0], "C1CC(", ""]) == (
        "103 items: 101 valid, 102 different"
    )


def test_rings_and_branches_close():
    for item in lists.some("molecules", 500, seed=5):
        assert item.count("(") == item.count(")")
        assert all(count % 2 == 0 for count in Counter(re.findall("[12]", item)).values())
        assert not re.search(r"(?:F|Cl|Br)[^)]", item[2:]), "a halogen has one bond"


def test_what_is_planted_is_strange_and_there():
    found = lists.lists(items=20, new_items=30)
    assert {name: len(items) for name, items in found.items()} == {
        "molecules.txt": 20,
        "log.txt": 20,
        "log-new.txt": 30 + len(lists.PLANTED),
    }
    grammar = lists.grammar_of("log")
    strange = [line for line in found["log-new.txt"] if not lists.is_written_by(grammar, line)]
    assert sorted(strange) == sorted(lists.PLANTED)
    assert not set(found["log.txt"]) & set(found["log-new.txt"])


def test_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lists, "lists", lambda: {"log.txt": ["a", "b"]})
    assert lists.main(["write", str(tmp_path / "new")]) == f"{tmp_path / 'new'}: log.txt"
    assert (tmp_path / "new" / "log.txt").read_text() == "a\nb\n"
    (tmp_path / "made.txt").write_text("CCO\nCCO\n\u00e9\n", encoding="utf-8")
    checked = lists.main(["check", "molecules", str(tmp_path / "made.txt")])
    assert checked == "3 items: 2 valid, 2 different"
    assert "write FOLDER" in lists.main([])


# Labels


def test_three_grams_by_hand():
    bayes = labels.NaiveBayes([labels.Labelled("x", "ab"), labels.Labelled("y", "b")])
    assert list(labels.trigrams("ab")) == ["\nab", "ab\n"]
    assert bayes.different == 4  # three that were seen, and one for all others
    p_x = 0.5 * (1 + 0.5) ** 2 / (2 + 0.5 * 4) ** 2
    p_y = 0.5 * 0.5**2 / (1 + 0.5 * 4) ** 2
    assert (bayes.label_of("ab", 0.5), p_x > p_y) == ("x", True)
    assert bayes.label_of("b", 0.5) == "y"
    assert bayes.accuracy([labels.Labelled("x", "ab"), labels.Labelled("x", "b")], 0.5) == 0.5


def test_labelled_parts(tmp_path: Path):
    (tmp_path / "a").write_text("".join(f"{n} a\n\n---\n" for n in range(30)))
    (tmp_path / "b").write_text("".join(f"{n} b\n" for n in range(40)))
    told = list(labels.main(tmp_path / "out", {"x": tmp_path / "a", "y": tmp_path / "b"}))
    assert told[:3] == ["train: 48 lines", "validation: 6 lines", "test: 6 lines"]
    assert re.fullmatch(r"3-grams, \S+ added: 1\.0000 of the test lines right", told[3])
    lines = [
        line
        for name in ("train", "validation", "test")
        for line in (tmp_path / "out" / f"{name}.txt").read_text().splitlines()
    ]
    assert len(set(lines)) == 60
    assert Counter(line.partition("\t")[0] for line in lines) == {"x": 30, "y": 30}
    assert all(line[-1] == {"x": "a", "y": "b"}[line[0]] for line in lines)
