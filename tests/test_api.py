"""charlstm from Python: what its docstrings and docs/api.md show, and what they say."""

import doctest
import math
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from places import DOCS

import charlstm
from charlstm import api, trained_model
from charlstm.config.reading import load_config
from charlstm.errors import ConfigError, FileError, RunFolderTakenError
from charlstm.look.score import by_character, by_line, exact_losses
from charlstm.nn.sampling import Choice, generate
from charlstm.saved.checkpoint import load_model
from charlstm.text.code_points import TextRules
from charlstm.text.corpus import encode_corpus
from charlstm.text.encoding import decode_stream, encode_string
from charlstm.text.vocabulary import UnknownCharacterError, Vocabulary
from charlstm.training import run

SETTINGS = {
    "model": {"layers": 1, "hidden_size": 12, "embedding_size": 0, "dropout": 0},
    "training": {
        "steps": 60,
        "batch_size": 4,
        "sequence_length": 8,
        "learning_rate": 0.05,
        "early_stopping": 0,
    },
    "schedule": {"kind": "constant", "warmup_steps": 0},
    "evaluation": {"every": 1000, "characters": 0},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text that is easy to learn, and a run that has learned it."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "abc.txt").write_text("abc" * 200 + "\n")
    data = {"files": str(folder / "abc.txt")}
    charlstm.train({"data": data, **SETTINGS}, out=folder / "runs" / "abc")
    (folder / "names.txt").write_text("abc\ncab\nbca\na\n" * 9)
    data = {"files": str(folder / "names.txt"), "items": "lines"}
    charlstm.train({"data": data, **SETTINGS}, out=folder / "runs" / "names")
    (folder / "labelled.txt").write_text("ab\tabab\nba\tbaba\nab\tab\n" * 20)
    data = {"files": str(folder / "labelled.txt"), "items": "lines", "labels": True}
    charlstm.train({"data": data, **SETTINGS}, out=folder / "runs" / "labelled")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: abc.txt, runs/abc, and runs/names of a list."""
    (tmp_path / "abc.txt").write_bytes((made / "abc.txt").read_bytes())
    (tmp_path / "runs").mkdir()
    for name in ("abc", "names", "labelled"):
        (tmp_path / "runs" / name).symlink_to(made / "runs" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder: Path) -> api.Model:
    return charlstm.load("runs/abc")


# What the documentation shows


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [*finder.find(api, globs={}), *finder.find(trained_model, globs={})]
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("example", _examples(), ids=lambda test: test.name)
def test_examples_of_docstrings(folder: Path, example: doctest.DocTest):
    lines: list[str] = []
    assert doctest.DocTestRunner().run(example, out=lines.append).failed == 0, "".join(lines)


def test_every_function_of_the_api_has_an_example():
    with_examples = {test.name for test in _examples()}
    methods = [name for name, it in vars(api.Model).items() if callable(it) and name[0] != "_"]
    wanted = {"charlstm.api.load", "charlstm.api.train", "charlstm.trained_model.Model"}
    wanted |= {f"charlstm.trained_model.Model.{name}" for name in methods if name != "start"}
    assert wanted <= with_examples


def test_the_chapter(folder: Path):
    text = (DOCS / "api.md").read_text()
    example = doctest.DocTestParser().get_doctest(text, {}, "api.md", "docs/api.md", 0)
    assert len(example.examples) >= 10
    lines: list[str] = []
    assert doctest.DocTestRunner().run(example, out=lines.append).failed == 0, "".join(lines)


# import charlstm


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_is_fast():
    """NumPy comes when it is needed: not for --help, nor for completion."""
    heavy = "{'numpy', 'tqdm', 'yaml', 'click'} & sys.modules.keys()"
    assert _python(f"import sys, charlstm; print({heavy} or 'none')") == "none"
    help_text = "charlstm.cli.main.main(['--help'])"
    code = f"import sys, charlstm.cli.main; {help_text}; print('numpy' in sys.modules)"
    assert _python(code).splitlines()[-1] == "False"


def test_names_of_the_package():
    assert charlstm.load is api.load
    assert {"load", "train", "Model", "Score", "Training"} <= set(dir(charlstm))
    with pytest.raises(AttributeError, match="no attribute 'loud'"):
        charlstm.loud  # noqa: B018


def test_the_stub_tells_type_checkers_the_same_names():
    stub = (Path(charlstm.__file__).parent / "__init__.pyi").read_text()
    for name in charlstm._FROM_API:
        assert f"import {name} as {name}\n" in stub


# Sampling


def test_a_sample_is_that_of_the_ids(model: api.Model):
    loaded = model.loaded
    start = loaded.vocabulary.encode("ca")
    choice = Choice(6.0, 3, 0.999)
    ids = [
        int(i[0]) for i in generate(loaded.model, start, count=1, length=40, choice=choice, seed=9)
    ]
    text = model.sample("ca", length=40, temperature=6, top_k=3, top_p=0.999, seed=9)
    assert text == loaded.vocabulary.decode(np.array(ids))
    assert len(set(text)) > 1
    assert (
        "".join(model.stream("ca", length=40, temperature=6, top_k=3, top_p=0.999, seed=9)) == text
    )
    many = model.samples(3, "ca", length=40, temperature=6, top_k=3, top_p=0.999, seed=9)
    assert many[0] == text
    assert len(set(many)) == 3


def test_without_a_seed_every_sample_is_another(model: api.Model):
    texts = {model.sample(length=60, temperature=1e3) for _ in range(4)}
    assert len(texts) == 4


def test_stop_and_unknown_characters(model: api.Model):
    assert model.sample("b", length=9, temperature=0, stop="b") == "ca"
    assert model.samples(2, "b", length=9, temperature=0, stop="b") == ["ca", "ca"]
    with pytest.raises(UnknownCharacterError, match="'Z'"):
        model.sample("Zb")
    assert model.sample("Zb", length=2, temperature=0, skip_unknown=True) == "ca"
    assert model.sample("Z", length=3, seed=1, skip_unknown=True) == model.sample(length=3, seed=1)
    assert model.samples(2, length=0) == ["", ""]


@pytest.mark.parametrize(
    "options",
    [
        {"length": -1},
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
    ],
)
def test_options_out_of_range(model: api.Model, options: dict):
    with pytest.raises(ConfigError, match="sampling"):
        model.sample(**options)


# Scores


def test_a_score_is_the_exact_loss(model: api.Model, folder: Path):
    text = "abcabcacb\n\nabc" * 60
    (folder / "t.txt").write_text(text)
    corpus = encode_corpus(["t.txt"], model.vocabulary)
    losses = np.concatenate(list(exact_losses(model.loaded.model, corpus.ids)))
    score = model.score(text)
    np.testing.assert_array_equal(score.nats, losses)
    assert score.nats.shape == (len(text) - 1,)
    assert score.nats_per_character == math.fsum(losses) / len(losses)
    assert score.bits_per_character == pytest.approx(losses.mean() / math.log(2), rel=1e-14)


def test_lines_add_up(model: api.Model):
    text = "abc\n\ncab\nabcabc\nab"
    score = model.score(text)
    lines = score.lines()
    assert [line.text for line in lines] == ["abc\n", "\n", "cab\n", "abcabc\n", "ab"]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert [line.predicted for line in lines] == [3, 1, 4, 7, 2]
    for line, place in zip(
        lines, (slice(0, 3), slice(3, 4), slice(4, 8), slice(8, 15)), strict=False
    ):
        assert line.bits == pytest.approx(score.bits[place].sum(), rel=1e-12)
    assert sum(line.bits for line in lines) == pytest.approx(score.bits.sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("ab", [("ab", 1)]),
        ("a\n", [("a\n", 1)]),
        ("\na", [("\n", 0), ("a", 1)]),
        ("\n\n", [("\n", 0), ("\n", 1)]),
    ],
)
def test_lines_at_the_edges(model: api.Model, text: str, lines: list[tuple[str, int]]):
    assert [(line.text, line.predicted) for line in model.score(text).lines()] == lines


def test_parts_do_not_depend_on_how_losses_come(model: api.Model):
    text = "abc\ncab\n" * 5
    ids = model.vocabulary.encode(text)
    score = model.score(text)
    for parts in (by_line, by_character):
        whole = list(parts(ids, model.vocabulary, [score.nats]))
        pieces = list(parts(ids, model.vocabulary, np.array_split(score.nats, 9)))
        assert whole == pieces
    assert [part.text for part in by_character(ids, model.vocabulary, [score.nats])] == list(
        text[1:]
    )


def test_bytes_that_are_no_text_keep_their_value():
    vocabulary = Vocabulary.of_bytes()
    ids = np.frombuffer("é\n".encode() + b"\xff\n", np.uint8)
    lines = list(by_line(ids, vocabulary, [np.ones(4)]))
    assert [line.text for line in lines] == ["é\n", "\udcff\n"]
    characters = by_character(ids, vocabulary, [np.ones(4)])
    assert [part.text for part in characters] == ["\udca9", "\n", "\udcff", "\n"]


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> api.Model:
    """A model of bytes that writes halves of characters."""
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "b").write_bytes("\u00e9\u00e8\u20ac".encode() * 99 + bytes(range(256)))
    data = {"files": str(folder / "b"), "unit": "bytes"}
    training = SETTINGS["training"] | {"steps": 3}
    return charlstm.train(
        {"data": data, **SETTINGS, "training": training}, out=folder / "run"
    ).model()


def test_bytes_come_out_as_they_are(of_bytes: api.Model):
    start = of_bytes.vocabulary.default_start()
    made = generate(of_bytes.loaded.model, start, count=2, length=90, choice=Choice(), seed=5)
    ids = np.array(list(made), np.uint8).T
    texts = of_bytes.samples(2, length=90, seed=5, errors="surrogateescape")
    assert [text.encode("utf-8", "surrogateescape") for text in texts] == [
        row.tobytes() for row in ids
    ]
    assert of_bytes.sample(length=90, seed=5, errors="surrogateescape") == texts[0]
    assert of_bytes.sample(length=90, seed=5) == ids[0].tobytes().decode("utf-8", "replace")
    assert of_bytes.samples(1, length=90, seed=5) == [of_bytes.sample(length=90, seed=5)]


def test_a_model_of_the_bytes_of_its_text(folder: Path):
    content = "\u00e9\u00e8\n".encode() * 99
    (folder / "b").write_bytes(content)
    data = {"files": "b", "unit": "bytes", "byte_values": "observed"}
    model = charlstm.train({"data": data, **SETTINGS}, out="observed").model()
    assert (model.vocabulary.size, model.vocabulary.unit) == (4, "bytes")
    assert set(
        model.sample(length=60, errors="surrogateescape").encode("utf-8", "surrogateescape")
    ) <= {*content}
    model.export("observed.npz")
    with pytest.raises(UnknownCharacterError):
        model.score("a\n")
    model.export("observed.safetensors")
    from charlstm.saved.interchange.importing import import_checkpoint

    assert import_checkpoint(Path("observed.safetensors"), None).vocabulary == model.vocabulary


def test_bytes_can_be_scored(of_bytes: api.Model, model: api.Model):
    content = "\u00e9\u00e8".encode() + b"\xff\x00"
    expected = of_bytes.score(content.decode("utf-8", "surrogateescape"))
    np.testing.assert_array_equal(of_bytes.score(content).nats, expected.nats)
    assert model.score(b"abcab").bits_per_character == model.score("abcab").bits_per_character
    with pytest.raises(FileError, match="the text: invalid UTF-8 at byte 2"):
        model.score(b"ab\xff")


def test_bytes_can_be_a_prompt(of_bytes: api.Model, model: api.Model):
    begun = b"\xff\xc3"
    np.testing.assert_array_equal(of_bytes.start(begun), np.frombuffer(begun, np.uint8))
    options = {"length": 40, "seed": 5}
    assert of_bytes.sample("\u00e9".encode(), **options) == of_bytes.sample("\u00e9", **options)
    assert model.sample(b"ab", **options) == model.sample("ab", **options)
    with pytest.raises(FileError, match="the prompt: invalid UTF-8 at byte 2"):
        model.sample(b"ab\xff")


@pytest.mark.parametrize("text", ["", "a"])
def test_a_text_too_short_to_score(model: api.Model, text: str):
    with pytest.raises(FileError, match="nothing to predict"):
        model.score(text)


# Texts that are no files


@pytest.mark.parametrize("newlines", ["keep", "normalize"])
@pytest.mark.parametrize("normalize", ["none", "NFC"])
@pytest.mark.parametrize("replacement", [None, "?"])
def test_a_string_is_encoded_as_a_file_would_be(tmp_path: Path, newlines, normalize, replacement):
    text = "\ufeffae\u0301\u00e9\r\nb\rc\n?\r"
    unknown = "" if replacement is None else "Zd\U0001f600"
    vocabulary = Vocabulary.of_characters(map(ord, "aebc\r\n?\u00e9\u0301"))
    rules = TextRules("characters", newlines, normalize, replacement)
    (tmp_path / "t").write_bytes((text + unknown).encode())
    corpus = encode_corpus([tmp_path / "t"], vocabulary, rules)
    string = decode_stream((text + unknown).encode(), "characters", "stdin")
    ids = encode_string(string, vocabulary, rules)
    np.testing.assert_array_equal(ids, np.asarray(corpus.ids))
    assert ids.dtype == np.asarray(corpus.ids).dtype


def test_any_bytes_come_through_a_pipe():
    content = bytes(range(256)) * 2 + "é".encode()
    ids = encode_string(decode_stream(content, "bytes", "stdin"), Vocabulary.of_bytes())
    assert ids.tobytes() == content
    with pytest.raises(FileError, match=r"stdin: invalid UTF-8 at byte 2 \(0xff\)"):
        decode_stream(b"ab\xff", "characters", "stdin")


# Training


def test_train_does_what_the_command_does(folder: Path):
    (folder / "c.yaml").write_text("data:\n  files: abc.txt\nmodel:\n  hidden_size: 5\n")
    training = charlstm.train(
        "c.yaml",
        model={"layers": 1},
        training={"steps": 7, "batch_size": 2, "sequence_length": 4},
        seed=4,
    )
    assert training.folder == Path("runs/c")
    assert (training.reason, training.step) == ("finished", 7)
    assert training.train_loss is not None
    assert training.best_val_loss == load_model(training.folder).progress.best_val_loss
    saved = load_config(folder / "runs/c/config.yaml")
    assert (saved.model.hidden_size, saved.model.layers, saved.seed) == (5, 1, 4)
    assert saved.data.files == (str(folder / "abc.txt"),)
    assert charlstm.train("c.yaml", resume=True, **_as_settings(saved)).reason == "already finished"


def _as_settings(config) -> dict:
    return {
        "seed": config.seed,
        "model": {"layers": config.model.layers},
        "training": {"steps": 7, "batch_size": 2, "sequence_length": 4},
    }


def test_train_takes_a_config(folder: Path):
    (folder / "c.yaml").write_text("data:\n  files: abc.txt\n")
    config = load_config(folder / "c.yaml")
    short = {"steps": 2, "batch_size": 2, "sequence_length": 4}
    first = charlstm.train(config, out="a", model={"hidden_size": 4}, training=short)
    second = charlstm.train("c.yaml", out="b", model={"hidden_size": 4}, training=short)
    assert first.train_loss == second.train_loss


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "reason"),
    [
        ({"data": {"files": "abc.txt"}}, {}, ConfigError, "out="),
        ({"data": {"files": "abc.txt"}}, {"modle": {}}, ConfigError, "unknown setting"),
        ({"data": {"files": "abc.txt"}}, {"model": {"layers": 0}}, ConfigError, "at least 1"),
        ({"data": {"files": "abc.txt"}}, {"model": 3}, ConfigError, "model"),
        ({}, {"out": "x"}, ConfigError, "data.files"),
        ({"data": {"files": "no.txt"}}, {"out": "x"}, FileError, "no.txt"),
        ({"data": {"files": "abc.txt"}}, {"out": ""}, ConfigError, "out: the name is empty"),
        ("no.yaml", {}, ConfigError, "no.yaml"),
        (
            {"data": {"files": "abc.txt"}, **SETTINGS},
            {"out": "runs/abc"},
            RunFolderTakenError,
            "holds",
        ),
        ({}, {"resume": True, "overwrite": True}, ConfigError, "exclude"),
    ],
)
def test_what_train_refuses(folder: Path, arguments, settings, error, reason: str):
    with pytest.raises(error, match=reason):
        charlstm.train(arguments, **settings)


def test_a_signal_saves_and_then_does_what_it_does(folder: Path):
    """Ctrl-C in a loop of trainings must end the loop."""
    stepped = run.RunRecorder.stepped

    def interrupted(self, trainer, result) -> None:
        stepped(self, trainer, result)
        if trainer.step_number == 5:
            signal.raise_signal(signal.SIGINT)

    config = {"data": {"files": "abc.txt"}, **SETTINGS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.RunRecorder, "stepped", interrupted)
        with pytest.raises(KeyboardInterrupt):
            charlstm.train(config, out="stopped")
    assert 5 <= load_model(Path("stopped")).progress.step < 60
    assert charlstm.train(config, out=folder / "stopped", resume=True).step == 60


def test_an_interrupted_training_says_that_it_saved(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    stepped = run.RunRecorder.stepped

    def interrupted(self, trainer, result) -> None:
        stepped(self, trainer, result)
        if trainer.step_number == 5:
            signal.raise_signal(signal.SIGINT)

    config = {"data": {"files": "abc.txt"}, **SETTINGS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.RunRecorder, "stepped", interrupted)
        with pytest.raises(KeyboardInterrupt):
            charlstm.train(config, out="stopped", quiet=False)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("Stopped by SIGINT at step ")
    assert last.endswith("; saved. Continue: call charlstm.train again with resume=True")


def test_a_training_in_another_thread(folder: Path):
    config = {"data": {"files": "abc.txt"}, **SETTINGS}
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(charlstm.train, config, out="threaded").result()
    assert training.reason == "finished"
    assert training.train_loss == charlstm.train(config, out="main").train_loss


def test_a_training_is_told_in_a_line(folder: Path):
    training = charlstm.train({"data": {"files": "abc.txt"}, **SETTINGS}, out="told")
    loss = training.best_val_loss
    assert repr(training) == f"<Training told: finished, step 60, best validation loss {loss:.4f}>"


def test_errors_speak_of_arguments(folder: Path):
    config = {"data": {"files": "abc.txt"}, **SETTINGS}
    with pytest.raises(RunFolderTakenError) as taken:
        charlstm.train(config, out="runs/abc")
    assert str(taken.value) == (
        "runs/abc already holds a run. Continue it with resume=True, replace it with"
        " overwrite=True, or name another folder with out=."
    )
    with pytest.raises(ConfigError, match=r"^cannot resume .* name another folder with out=\.$"):
        charlstm.train(config, out="runs/abc", resume=True, seed=5)


def test_only_the_api_is_public():
    public = {name for name in vars(api) if not name.startswith("_")}
    own = {
        name
        for name in public
        if not isinstance(vars(api)[name], ModuleType)
        and getattr(vars(api)[name], "__module__", "").startswith("charlstm.api")
    }
    assert own <= {*api.__all__, "SampleOptions"}


@pytest.mark.parametrize("wish", [{"length": 10**30}, {"length": 5, "min_length": 10**30}])
def test_more_characters_than_anybody_could_want(model, wish: dict[str, int]):
    with pytest.raises(ConfigError, match="length, min_length: at most 1,000,000,000"):
        model.samples(2, **wish)


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (-1, 1), (2**63 - 1, 1), (1, -1)])
def test_impossible_samples(model, count: int, seed: int):
    with pytest.raises(ConfigError, match=r"1 to 100,000 texts at once|seed: at least 0"):
        model.samples(count, seed=seed)
