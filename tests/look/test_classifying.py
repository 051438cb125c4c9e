"""Labels by Bayes' rule, from what each item costs with each of them in front."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny import forge, tiny_config, train, write_checkpoint

from charlstm.errors import FileError
from charlstm.look.classifying import classify_items, classify_list, classify_strings
from charlstm.look.item_scores import item_nats, list_to_score, score_strings
from charlstm.saved.checkpoint import LoadedModel, load_model, read_checkpoint
from charlstm.saved.interchange.exporting import export
from charlstm.saved.interchange.importing import import_checkpoint

SPAM = ["win gold", "win win", "gold now", "win now"]
HAM = ["see you", "you see", "so long", "see her"]
LIST = "".join(f"spam\t{a}\nham\t{b}\nham\t{c}\n" for a in SPAM for b in HAM for c in HAM)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    config = tiny_config(
        folder,
        LIST,
        **{
            "data.items": "lines",
            "data.labels": True,
            "data.validation_fraction": 0.1,
            "model.layers": 1,
            "model.hidden_size": 12,
            "training.steps": 60,
            "training.batch_size": 8,
            "training.sequence_length": 16,
            "evaluation.every": 0,
        },
    )
    train(config, folder / "run")
    return folder / "run"


@pytest.fixture
def loaded(run: Path) -> LoadedModel:
    return load_model(run)


def test_the_shares_are_those_of_the_training_items(loaded: LoadedModel):
    assert loaded.vocabulary.labels == ("ham", "spam")
    ham, spam = loaded.label_counts
    assert ham + spam == 192 - 19
    assert abs(spam / (ham + spam) - 1 / 3) < 0.05


def test_bayes(loaded: LoadedModel):
    found = classify_strings(loaded, ["win gold", "see", ""])
    first = loaded.vocabulary.special("label:ham")
    shares = np.array(loaded.label_counts) + 1.0
    joint = np.empty((3, 2))
    for number in range(3):
        text = found.items.item(number)[1:].astype(np.intp)
        for label in (0, 1):
            x = np.append(first + label, text)[:, np.newaxis]
            y = np.append(text, found.items.end)[:, np.newaxis]
            model = loaded.model
            losses, _ = model.losses(x, y, model.zero_states(1), model.tape(len(x), 1))
            joint[number, label] = np.exp(-losses.sum()) * shares[label] / shares.sum()
    np.testing.assert_allclose(np.exp(-found.total), joint.sum(axis=1), rtol=1e-5)
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    assert found.best.tolist()[:2] == [1, 0]
    assert found.true is found.accuracy is found.confusion is None


def test_a_list_with_labels_tells_how_many_are_right(loaded: LoadedModel, tmp_path: Path):
    lines = ["spam\twin gold", "ham\tsee you", "spam\tsee you", "ham\tso long"]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    found = classify_list(loaded, [tmp_path / "list.txt"])
    assert found.true is not None
    assert found.true.tolist() == [1, 0, 1, 0]
    assert found.best.tolist() == [1, 0, 0, 0]
    assert found.accuracy == 0.75
    assert found.confusion is not None
    assert found.confusion.tolist() == [[2, 0], [1, 1]]
    (tmp_path / "bare.txt").write_text("\n".join(line.partition("\t")[2] for line in lines))
    bare = classify_list(loaded, [tmp_path / "bare.txt"])
    assert bare.true is None
    np.testing.assert_array_equal(bare.nats, found.nats)


def test_a_label_is_missing_in_the_middle(loaded: LoadedModel, tmp_path: Path):
    (tmp_path / "list.txt").write_text("spam\twin\nwin\n")
    with pytest.raises(FileError, match=r"list\.txt: item 2: no label and tab first: 'win'"):
        classify_list(loaded, [tmp_path / "list.txt"])


def test_the_cost_of_a_labelled_item_is_that_after_its_label(loaded: LoadedModel, tmp_path: Path):
    (tmp_path / "list.txt").write_text("spam\twin\nham\twin\n")
    text = list_to_score([tmp_path / "list.txt"], loaded)
    rows = list(text.rows(loaded))
    assert [row.text for row in rows] == ["win", "win"]
    found = classify_items(loaded, text.items)
    shares = np.array(loaded.label_counts) + 1.0
    joint = found.nats[0] + np.log(shares / shares.sum())
    np.testing.assert_allclose(text.nats, joint[::-1], rtol=1e-6)
    (group,) = item_nats(loaded.model, text.items)
    assert sorted(group.numbers.tolist()) == [0, 1]


def test_what_has_no_labels(loaded: LoadedModel, tmp_path: Path):
    with pytest.raises(FileError, match="its items have labels: see classify"):
        score_strings(loaded, ["win"])
    config = tiny_config(tmp_path, "ab\nba\n" * 30, **{"data.items": "lines"})
    train(config, tmp_path / "run", stop_after=1)
    with pytest.raises(FileError, match=r"its items have no labels: see data\.labels"):
        classify_strings(load_model(tmp_path / "run"), ["win"])


@pytest.mark.parametrize("counts", [[1], [1, -1], [1, 2, 3], "ab", [True, 1]])
def test_counts_that_cannot_be(run: Path, tmp_path: Path, counts: object):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((run / "best.safetensors").read_bytes())
    forge(copy, lambda arrays, state: state.update(label_counts=counts))
    with pytest.raises(FileError, match="label_counts: expected one for each label"):
        read_checkpoint(copy)


@pytest.mark.parametrize("specials", [["end"], ["label:spam", "label:ham"], [], ["ham", "spam"]])
def test_symbols_that_cannot_be(run: Path, tmp_path: Path, specials: list[str]):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((run / "best.safetensors").read_bytes())
    forge(copy, lambda arrays, state: state.update(specials=specials))
    with pytest.raises(FileError, match=r"specials|vocabulary|array"):
        read_checkpoint(copy)


def test_the_command(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    from charlstm.cli.main import main

    file = tmp_path / "list.txt"
    file.write_text("spam\twin gold\nham\tsee you\nspam\tsee you\n")
    assert main(["classify", str(run), str(file), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["labels"], told["confusion"]) == (["ham", "spam"], [[1, 0], [1, 1]])
    assert [row["label"] for row in told["rows"]] == ["spam", "ham", "ham"]
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-9 for row in told["rows"])
    assert main(["classify", str(run), str(file), "--tsv"]) == 0
    output = capfd.readouterr()
    lines = [line.split("\t") for line in output.out.splitlines()]
    assert lines[0] == ["item", "label", "true", "bits", "p(ham)", "p(spam)", "text"]
    assert [line[1] for line in lines[1:]] == ["spam", "ham", "ham"]
    assert "2 of 3 right: 0.6667" in output.err
    file.write_text("win gold\n")
    assert main(["classify", str(run), str(file)]) == 0
    output = capfd.readouterr()
    assert output.out.split()[:4] == ["item", "label", "bits", "probability"]
    assert "right" not in output.err


def test_a_list_without_items_is_named(loaded: LoadedModel, tmp_path: Path):
    (tmp_path / "none.txt").write_text("\n\n")
    with pytest.raises(FileError, match=r"none\.txt: the list has no items"):
        classify_list(loaded, [tmp_path / "none.txt"])


def test_shares_are_exported_and_imported(loaded: LoadedModel, tmp_path: Path):
    export(loaded, tmp_path / "m.safetensors")
    write_checkpoint(tmp_path / "m.ckpt", import_checkpoint(tmp_path / "m.safetensors"))
    back = load_model(tmp_path / "m.ckpt")
    assert back.label_counts == loaded.label_counts
    assert len(set(loaded.label_counts)) == 2
    texts = ["win gold", "so long"]
    probabilities = classify_strings(loaded, texts).probabilities
    np.testing.assert_array_equal(classify_strings(back, texts).probabilities, probabilities)
