"""Fine-tuning on a text with characters that the model to start from has never seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layers import settings_of
from tiny import TEXT, all_that_counts, differing, newest, tiny_config, train, weights

import charlstm
from charlstm.config.settings import Config
from charlstm.errors import ConfigError
from charlstm.saved.checkpoint import load_model
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.text import cache as cache_module
from charlstm.text.cache import CorpusCache
from charlstm.text.vocabulary import UnknownCharacterError, Vocabulary
from charlstm.training.dataset import read_dataset
from charlstm.training.evaluation import LaneEvaluation
from charlstm.training.growth import on_new_characters, tell_of_growth
from charlstm.training.resuming import Options
from charlstm.training.run import run_training
from charlstm.training.setup import prepare

OTHER = "où la mer était calme, à midi\n" * 8
NEW = set(OTHER) - set(TEXT)
CELLS = [("lstm", 0), ("layer-norm", 3), ("lstm skips", 3)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return trained(tmp_path)


def trained(tmp_path: Path, text: str = TEXT, **settings: Any) -> Path:
    (tmp_path / "a").mkdir()
    train(tiny_config(tmp_path / "a", text, seed=3, **settings), tmp_path / "source")
    return tmp_path / "source"


def tuned(
    folder: Path, source: Path, text: str = OTHER, new: str = "grow", **settings: Any
) -> Config:
    given = {"init_from": str(source), "data.new_characters": new}
    return tiny_config(folder, text, **given | settings)


def lines_of(config: Config) -> list[str]:
    said: list[str] = []
    tell_of_growth(read_dataset(config), said.append)
    return said


@pytest.mark.parametrize(("cell", "embedding_size"), CELLS)
def test_a_grown_run_is_a_run_like_any_other(tmp_path: Path, cell: str, embedding_size: int):
    """Its vocabulary has both; it is resumed bit for bit, loaded, sampled and scored."""
    settings = settings_of(cell) | {"model.embedding_size": embedding_size}
    config = tuned(tmp_path, trained(tmp_path, **settings), **settings)
    train(config, tmp_path / "straight")
    for stop in (7, 13):
        train(config, tmp_path / "parts", stop_after=stop, resume=True)
    train(config, tmp_path / "parts", resume=True)
    straight, parts = (all_that_counts(tmp_path / name) for name in ("straight", "parts"))
    assert differing(straight, parts) == []
    model = charlstm.load(tmp_path / "straight")
    assert model.vocabulary == Vocabulary.of_characters(map(ord, set(TEXT) | NEW))
    assert set(model.sample(length=400, temperature=50.0, seed=2)) > NEW
    assert model.score(TEXT + OTHER).bits_per_character > 0


def test_what_it_starts_from(source: Path, tmp_path: Path):
    """The weights of the source where its characters are now, and an optimizer without a past."""
    dataset = read_dataset(tuned(tmp_path, source))
    trainer = prepare(dataset, Alone(), None)[0]
    of_source = load_model(source)
    ids = dataset.corpus.vocabulary.encode(of_source.vocabulary.decode(np.arange(11)))
    assert of_source.vocabulary.size == len(set(TEXT)) > 11
    W_x, before = trainer.model.layers[0].W_x.value, of_source.model.layers[0].W_x.value
    assert W_x[:, ids].tobytes() == before[:, :11].tobytes()
    assert trainer.optimizer.steps == 0
    assert not any(array.any() for array in trainer.optimizer.state.values())


def test_the_source_is_left_alone_and_a_text_without_anything_new_changes_nothing(
    source: Path, tmp_path: Path
):
    before = weights(source)
    for new in ("grow", "refuse"):
        train(tuned(tmp_path, source, "sea at noon\n" * 20, new), tmp_path / new)
    assert newest(tmp_path / "grow").vocabulary == newest(source).vocabulary
    assert weights(tmp_path / "grow") == weights(tmp_path / "refuse")
    assert weights(source) == before


def test_the_default_refuses_and_names_both_ways(source: Path, tmp_path: Path):
    with pytest.raises(UnknownCharacterError) as caught:
        train(tuned(tmp_path, source, new="refuse"), tmp_path / "run")
    assert "text.txt: not in the vocabulary: ','" in str(caught.value)
    assert str(caught.value).endswith(
        "; add data.new_characters=grow to teach them to the model, or =replace"
    )
    assert "\n" not in str(caught.value)
    assert not RunFolder(tmp_path / "run").holds_a_run()


def test_what_is_new_may_be_replaced(source: Path, tmp_path: Path):
    config = tuned(tmp_path, source, new="replace", **{"data.replacement": "o"})
    ids = np.asarray(read_dataset(config).corpus.ids)
    wanted = "".join("o" if character in NEW else character for character in OTHER)
    assert load_model(source).vocabulary.decode(ids) == wanted
    assert lines_of(config) == [f"What {source} does not know is read as 'o'."]
    train(config, tmp_path / "run")
    model = charlstm.load(tmp_path / "run")
    assert model.score(OTHER).nats.tolist() == model.score(wanted).nats.tolist()


def test_a_replacement_must_be_known(source: Path, tmp_path: Path):
    with pytest.raises(UnknownCharacterError, match=r"; nor is data\.replacement, '\ufffd'; "):
        train(tuned(tmp_path, source, new="replace"), tmp_path / "run")
    train(tuned(tmp_path, source, "sea\n" * 50, new="replace"), tmp_path / "run")
    assert charlstm.load(tmp_path / "run").score("sea").bits_per_character > 0


def test_rare_new_characters_become_the_replacement(source: Path, tmp_path: Path):
    config = tuned(tmp_path, source, OTHER + "Zq", **{"data.min_count": 2})
    vocabulary = read_dataset(config).corpus.vocabulary
    assert vocabulary == Vocabulary.of_characters(map(ord, set(TEXT) | NEW | {"\ufffd"}))


def test_what_is_told(source: Path, tmp_path: Path):
    config = tuned(tmp_path, source)
    dataset, loaded = read_dataset(config), load_model(source)
    first, *losses = lines_of(config)
    share = sum(character in NEW for character in dataset.corpus.vocabulary.decode(dataset.train))
    assert first == (
        f"New to {source}: ',' (U+002C), 'r' (U+0072), 'à' (U+00E0), 'é' (U+00E9), 'ù' (U+00F9)"
        f"; {share / len(dataset.train):.2%} of the text. Its vocabulary grows from"
        f" {loaded.vocabulary.size} to {dataset.corpus.vocabulary.size} characters."
    )
    text = dataset.corpus.vocabulary.decode(dataset.validation)
    old = loaded.vocabulary.encode("".join(c for c in text if c not in NEW))
    before = LaneEvaluation(loaded.model, old, 3, 4, Alone()).mean_loss()
    trainer = prepare(dataset, Alone(), None)[0]
    after = LaneEvaluation(trainer.model, dataset.validation, 3, 4, Alone()).mean_loss()
    assert losses == [
        "Before the first step, on the validation part, in nats:",
        f"  {before:.4f}  the old model, on the text without what is new",
        f"  {after:.4f}  the grown one, on all of it",
    ]
    assert before != after


def test_it_is_told_once_and_not_to_those_who_want_quiet(source: Path, tmp_path: Path):
    said: list[str] = []
    config = tuned(tmp_path, source, **{"training.steps": 2})
    run_training(config, tmp_path / "run", Options(), said.append)
    assert sum("grows from" in line for line in said) == 1
    again: list[str] = []
    more = tuned(tmp_path, source, **{"training.steps": 3})
    run_training(more, tmp_path / "run", Options(resume=True), again.append)
    assert not any("grows from" in line for line in again)


def test_nothing_is_told_where_nothing_is_new(source: Path, tmp_path: Path):
    assert lines_of(tuned(tmp_path, source, "sea\n" * 50)) == []
    assert lines_of(tiny_config(tmp_path)) == []
    no_validation = tuned(tmp_path, source, **{"data.validation_fraction": 0})
    assert lines_of(no_validation) == list(on_new_characters(read_dataset(no_validation)))


def test_a_model_of_the_bytes_of_its_text_learns_others(tmp_path: Path):
    settings = {"data.unit": "bytes", "data.byte_values": "observed"}
    source = trained(tmp_path, **settings)
    train(tuned(tmp_path, source, **settings), tmp_path / "run")
    values = set(TEXT.encode()) | set(OTHER.encode())
    assert newest(tmp_path / "run").vocabulary == Vocabulary.of_bytes(values)
    with pytest.raises(ConfigError, match=r"data\.new_characters: bytes are taken as they are"):
        tuned(tmp_path, source, new="replace", **settings)


def test_a_model_of_some_bytes_does_not_become_one_of_all_unless_it_grows(tmp_path: Path):
    """Its checkpoints could not be read."""
    source = trained(tmp_path, **{"data.unit": "bytes", "data.byte_values": "observed"})
    with pytest.raises(ConfigError, match=r"byte_values is all \(there: observed\)"):
        train(tuned(tmp_path, source, TEXT, "refuse", **{"data.unit": "bytes"}), tmp_path / "run")
    train(tuned(tmp_path, source, **{"data.unit": "bytes"}), tmp_path / "run")
    assert newest(tmp_path / "run").vocabulary == Vocabulary.of_bytes()


def test_a_model_of_another_unit_is_refused_as_ever(source: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"data\.unit is bytes \(there: characters\)"):
        train(tuned(tmp_path, source, "sea\n" * 50, **{"data.unit": "bytes"}), tmp_path / "run")


def test_a_cached_text_belongs_to_its_vocabulary(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache_module, "WORTH_KEEPING", 10)
    cache = CorpusCache(tmp_path / "cache", lambda line: None)
    config = tiny_config(tmp_path, OTHER)
    growing = tuned(tmp_path, source)  # writes the text again, before anything is kept of it
    alone = read_dataset(config, cache).corpus
    grown = read_dataset(growing, cache).corpus
    assert alone.vocabulary.size < grown.vocabulary.size
    assert grown.vocabulary.decode(np.asarray(grown.ids)) == OTHER
    assert read_dataset(growing, cache).corpus.vocabulary == grown.vocabulary
