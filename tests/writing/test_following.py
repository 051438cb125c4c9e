"""What comes next: characters, words, lines, of texts and bytes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import charlstm
from charlstm import api
from charlstm.cli.main import main
from charlstm.errors import ConfigError
from charlstm.text.vocabulary import UnknownCharacterError, Vocabulary
from charlstm.writing.following import ends_of, following, word_begun

WORDS = "the harbour was quiet\nthe harvest was late\n"
SETTINGS = {
    "model": {"layers": 1, "hidden_size": 24, "embedding_size": 0, "dropout": 0},
    "training": {"steps": 250, "batch_size": 4, "sequence_length": 20, "learning_rate": 0.03},
    "schedule": {"kind": "constant", "warmup_steps": 0},
    "evaluation": {"every": 1000, "characters": 0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("following")
    (folder / "t.txt").write_text(WORDS * 30)
    charlstm.train({"data": {"files": str(folder / "t.txt")}, **SETTINGS}, out=folder / "run")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> api.Model:
    return charlstm.load(folder / "run")


def probability(model: api.Model, before: str, text: str) -> float:
    """That ``text`` follows, by the scores of a whole text."""
    nats = model.score("\n" + before + text).nats[-len(text) :]
    return math.exp(-math.fsum(nats))


def test_characters(model: api.Model):
    expected = model.next("\nthe har", top=50)
    assert len(expected.characters) == model.vocabulary.size
    assert math.fsum(c.probability for c in expected.characters) == pytest.approx(1)
    for c in expected.characters[:5]:
        assert c.probability == pytest.approx(probability(model, "the har", c.text), rel=1e-4)
    assert {c.text for c in expected.characters[:2]} == {"b", "v"}


def test_words(model: api.Model):
    expected = model.next("\nthe har", top=3)
    assert {c.text for c in expected.completions[:2]} == {"bour", "vest"}
    assert expected.unseen == 0
    after = model.next("\nthe harbour").characters
    ends = math.fsum(c.probability for c in after if not c.text.isalpha())
    bour = next(c for c in expected.completions if c.text == "bour")
    assert bour.probability == pytest.approx(probability(model, "the har", "bour") * ends, rel=1e-3)


def test_lines(model: api.Model):
    (first,) = model.next("\nthe harbour", top=1, to="line").completions
    assert first.text == " was quiet"
    assert first.probability == pytest.approx(
        probability(model, "the harbour", " was quiet\n"), rel=1e-4
    )


def test_the_word_that_has_begun_may_be_over(model: api.Model):
    assert model.next("\nthe harbour").completions[0].text == ""
    assert "" not in [c.text for c in model.next("\nthe ").completions]


def test_a_budget(model: api.Model):
    assert following(model.loaded, "the ", to="line", steps=1).unseen > 0


def test_what_is_refused(model: api.Model):
    with pytest.raises(UnknownCharacterError):
        model.next("Q")
    for options in ({"top": 0}, {"to": "page"}):
        with pytest.raises(ConfigError, match="next: top and steps"):
            model.next("the", **options)


def test_words_are_letters_digits_and_their_marks():
    vocabulary = Vocabulary.of_characters(map(ord, "a9_ \n'-\u0436\u0301\u4e2d."))
    ends = ends_of(vocabulary, "word")
    assert {chr(code) for code in vocabulary.code_points[ends]} == {*" \n'-."}
    assert vocabulary.code_points[ends_of(vocabulary, "line")].tolist() == [10]
    assert word_begun("one two-thr\u00e9\u0301", vocabulary, "word") == "thr\u00e9\u0301"
    assert word_begun("one\ntwo three", vocabulary, "line") == "two three"
    with_end = vocabulary.with_specials(["end"])
    assert ends_of(with_end, "line")[-1]
    of_bytes = Vocabulary.of_bytes()
    assert np.flatnonzero(~ends_of(of_bytes, "word")).tolist() == [
        *range(48, 58), *range(65, 91), 95, *range(97, 123), *range(128, 256),
    ]  # fmt: skip


# The command


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["next", str(folder / "run"), "the har", "--top", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert [line.split()[1:] for line in lines[1:3]] in ([["'b'"], ["'v'"]], [["'v'"], ["'b'"]])
    assert lines[3] == "to the end of the word"
    assert sorted(line.split()[1] for line in lines[4:]) == ["harbour", "harvest"]


def test_json(folder: Path, model: api.Model, capsys: pytest.CaptureFixture[str]):
    assert main(["next", str(folder / "run"), "the har", "--top", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = model.next("the har", top=2)
    assert found == {
        "characters": [c._asdict() for c in expected.characters],
        "completions": [c._asdict() for c in expected.completions],
        "to": "word",
        "unseen": 0,
    }


def test_control_characters_are_shown(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["next", str(folder / "run"), "the harbour was quiet", "--top", "1"]) == 0
    assert r"'\n'" in capsys.readouterr().out.splitlines()[1]
