"""The project's own corpus: its text, its grammar and its exact entropy belong together."""

import hashlib
import json
import math
import random
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import pytest
from places import ROOT

DATA = ROOT / "data"
sys.path.insert(0, str(DATA))

import book as harbour  # noqa: E402
import generate  # noqa: E402
from grammar import Grammar, Pen, Place, calendar, chooser  # noqa: E402

TEXT = (DATA / "harbour.txt").read_bytes().decode("ascii")
SIDECAR = json.loads((DATA / "harbour.entropy.json").read_text(encoding="ascii"))
CARRIED = {"date": "1871-03-03", "number": "100"}  # to page one: a Friday


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return harbour.load_grammar()


@pytest.fixture(scope="module")
def written(grammar: Grammar) -> harbour.Book:
    return harbour.write_book(grammar, generate.SEED, generate.LENGTH)


@pytest.fixture(scope="module")
def read(grammar: Grammar) -> harbour.Book:
    return harbour.read_book(grammar, TEXT)


def every_text(grammar: Grammar, name: str, memory: dict[str, str]) -> Iterator[tuple[str, float]]:
    """All (text, probability) that a finite rule can write: counts through its choices."""
    script: list[int] = []
    while True:
        sizes: list[int] = []

        def follow(weights: Sequence[int], script=script, sizes=sizes) -> int:
            if len(sizes) == len(script):
                script.append(0)
            sizes.append(len(weights))
            return script[len(sizes) - 1]

        pen = Pen(follow, memory)
        grammar[name].write(pen)
        yield "".join(pen.pieces), 2 ** -math.fsum(pen.bits)
        while script and script[-1] == sizes[len(script) - 1] - 1:
            script.pop()
        if not script:
            return
        script[-1] += 1


def readings(grammar: Grammar, name: str, text: str, memory: dict[str, str]) -> list[Place]:
    """The derivations of the whole of a text."""
    ends = grammar[name].read(Place(text, 0, memory, None, {}))
    return [end for end in ends if end.position == len(text)]


# ---------------------------------------------------------------- the shipped files


def test_generator_reproduces_the_shipped_files(tmp_path):
    generate.generate(tmp_path)
    digest = hashlib.sha256((tmp_path / "harbour.txt").read_bytes()).hexdigest()
    assert digest == SIDECAR["sha256"]
    again = json.loads((tmp_path / "harbour.entropy.json").read_text(encoding="ascii"))
    assert again["checkpoints"] == [pytest.approx(c, rel=1e-12) for c in SIDECAR["checkpoints"]]


def test_reader_finds_the_writers_choices_one_by_one(written, read):
    assert read.page_ends == written.page_ends
    assert read.page_bits == written.page_bits


def test_sidecar_agrees_with_the_reader(read):
    assert SIDECAR["format"] == 1
    assert SIDECAR["text"] == "harbour.txt"
    assert SIDECAR["characters"] == len(TEXT)
    assert SIDECAR["sha256"] == hashlib.sha256(TEXT.encode("ascii")).hexdigest()
    bits = math.fsum(bits for page in read.page_bits for bits in page)
    assert SIDECAR["bits"] == pytest.approx(bits, rel=1e-9)
    assert SIDECAR["bits_per_character"] == pytest.approx(bits / len(TEXT), rel=1e-9)
    assert SIDECAR["checkpoints"][-1] == [len(TEXT), SIDECAR["bits"]]
    assert (DATA / "harbour.entropy.json").stat().st_size < 100_000


def test_bits_between_checkpoints_are_those_of_the_pages_between(read):
    offsets = [offset for offset, _ in SIDECAR["checkpoints"]]
    assert offsets == sorted(set(offsets))
    first = bisect_left(offsets, len(TEXT) * 9 // 10)
    bits = math.fsum(bits for page in read.page_bits[first + 1 :] for bits in page)
    assert SIDECAR["bits"] - SIDECAR["checkpoints"][first][1] == pytest.approx(bits, rel=1e-9)


def test_text_is_what_the_readme_promises():
    assert 950_000 <= len(TEXT) <= 1_050_000
    assert 60 <= len(set(TEXT)) <= 75
    assert max(map(len, TEXT.split("\n"))) <= 72
    pieces = [paragraph.split('"') for paragraph in TEXT.split("\n\n")]
    assert all(len(piece) % 2 == 1 for piece in pieces), "a quotation stays open"
    inside = sum(len(quotation) for piece in pieces for quotation in piece[1::2])
    assert 0.4 * len(TEXT) < inside < 0.6 * len(TEXT)


def test_only_people_say_our_and_exclaim():
    pieces = [paragraph.split('"') for paragraph in TEXT.split("\n\n")]
    paper = "|".join(text for piece in pieces for text in piece[::2])
    speech = "|".join(text for piece in pieces for text in piece[1::2])
    for mark in (r"\b[Oo]ur\b", "!"):
        assert re.search(mark, paper) is None, mark
        assert len(re.findall(mark, speech)) > 3000, mark
    assert re.search(r"[()]|\b[Tt]he\b", speech) is None


def test_brackets_close_and_nest_to_depth_three():
    depths = [0]
    for bracket in re.findall(r"[()]", TEXT):
        depths.append(depths[-1] + (1 if bracket == "(" else -1))
    assert (min(depths), max(depths), depths[-1]) == (0, 3, 0)


# ---------------------------------------------------------------- the probabilities


@pytest.mark.parametrize(
    "name", ["one", "built", "a-thing", "hour", "where", "when-first", "^one-of-us"]
)
def test_texts_of_a_finite_rule_are_distinct_and_sum_to_one(grammar, name):
    memory = CARRIED | calendar(CARRIED["date"], 1)
    texts, probabilities = zip(*every_text(grammar, name, memory), strict=True)
    assert len(set(texts)) == len(texts) >= 8
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-12)


SMALL = """
page
    {men:2-4} men{rest}
rest
    , {boys:1-2} boys, {=men+boys} in all
    3* ; {day+1}{weather} on {=weekday} | ; {day+2}{weather} on {=weekday}
    ; {^weather}, all {=men} {aside}
weather
    rain | 2* snow
aside
    (wet) | (wet (and {weather}))
"""


def test_probabilities_of_a_small_grammar_worked_out_by_hand():
    found = dict(every_text(Grammar(SMALL), "page", CARRIED))
    assert len(found) == 3 * (2 + 2 + 2 + 2 * 3)
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-12)
    assert found["3 men, 2 boys, 5 in all"] == pytest.approx(1 / 3 * 1 / 6 * 1 / 2)
    assert found["4 men; snow on Saturday"] == pytest.approx(1 / 3 * 3 / 6 * 2 / 3)
    assert found["4 men; rain on Sunday"] == pytest.approx(1 / 3 * 1 / 6 * 1 / 3)
    assert found["2 men; Rain, all 2 (wet (and snow))"] == pytest.approx(
        1 / 3 * 1 / 6 * 1 / 3 * 1 / 2 * 2 / 3
    )


def test_reader_agrees_with_every_text_of_a_small_grammar():
    small = Grammar(SMALL)
    for text, probability in every_text(small, "page", CARRIED):
        (reading,) = readings(small, "page", text, CARRIED)
        assert 2 ** -math.fsum(reading.bits()) == pytest.approx(probability, rel=1e-12)
    assert readings(small, "page", "3 men, 2 boys, 6 in all", CARRIED) == []
    assert readings(small, "page", "5 men; snow on Sunday", CARRIED) == []


def test_reader_reports_every_derivation_of_an_ambiguous_text():
    ambiguous = Grammar(
        "page\n  {boat} sails | a brig {does}\nboat\n  a brig | a raft\ndoes\n  sails"
    )
    assert len(readings(ambiguous, "page", "a raft sails", CARRIED)) == 1
    assert len(readings(ambiguous, "page", "a brig sails", CARRIED)) == 2
    with pytest.raises(harbour.NotOfThisGrammar, match="character 0 has 2 derivations"):
        harbour.read_book(ambiguous, "a brig sails")


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("  an orphan", "belongs to no rule: an orphan"),
        ("page\n  the {ship}", "no rule 'ship'"),
        ("page\n  {=m+} men", "neither a name, a sum nor a difference: {=m+}"),
        ("page\n  a brig | 2* a brig", "'page' has the same alternative twice"),
    ],
)
def test_faulty_notation_is_refused(notation, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Grammar(notation)


def test_choices_come_as_often_as_they_weigh():
    choose = chooser(random.Random(3).random)
    counts = [0, 0, 0]
    for _ in range(6000):
        counts[choose([1, 3, 2])] += 1
    assert counts == pytest.approx([1000, 3000, 2000], rel=0.08)


def test_days_pass_over_the_ends_of_months_and_years():
    new_year = calendar("1871-12-30", 3)
    assert new_year == {
        "date": "1872-01-02",
        "yesterday": "Monday",
        "weekday": "Tuesday",
        "tomorrow": "Wednesday",
        "day": "2nd",
        "month": "January",
        "year": "1872",
    }
    assert calendar("1872-02-28", 1)["day"] == "29th"
    assert [calendar(f"1871-03-{day}", 0)["day"] for day in (11, 12, 13, 21, 23, 31)] == [
        *("11th", "12th", "13th", "21st", "23rd", "31st")
    ]


@pytest.mark.parametrize("seed", range(5))
def test_other_books_have_one_derivation_too(grammar, seed):
    other = harbour.write_book(grammar, seed, 40_000)
    assert harbour.read_book(grammar, other.text).page_bits == other.page_bits


# ---------------------------------------------------------------- tampering


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Saturday, the 4th", "Sunday, the 4th"),
        ("End of No. 101.", "End of No. 102."),
        (" had ", " has "),
        ("(", ""),
        ('"', "'"),
        ("\n\n", "\n"),
        (" the ", "\nthe "),
    ],
)
def test_tampered_text_is_refused(grammar, old, new):
    pages = TEXT[: SIDECAR["checkpoints"][4][0]]
    harbour.read_book(grammar, pages)
    assert old in pages
    with pytest.raises(harbour.NotOfThisGrammar):
        harbour.read_book(grammar, pages.replace(old, new, 1))


def test_another_choice_has_another_probability(grammar):
    characters, bits = SIDECAR["checkpoints"][9]
    flat = harbour.unwrap(TEXT[:characters])
    assert '" said Mr' in flat
    changed = harbour.wrap(flat.replace('" said Mr', '" added Mr', 1))
    assert harbour.score(changed) == pytest.approx(bits + math.log2(3), rel=1e-12)  # weighs 3, 1


def test_score_of_whole_pages_is_the_checkpoints_bits():
    characters, bits = SIDECAR["checkpoints"][6]
    assert harbour.score(TEXT[:characters]) == pytest.approx(bits, rel=1e-12)
    with pytest.raises(harbour.NotOfThisGrammar):
        harbour.score(TEXT[: characters - 1])
