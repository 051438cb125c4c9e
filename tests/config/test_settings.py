"""Settings: every one is described, checked, written and read back; no input gives a traceback."""

import dataclasses
import gc
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import yaml

from charlstm.cli.main import COMMANDS, commands
from charlstm.config.reading import config_from_dict, load_config
from charlstm.config.schema import all_settings, differences, may_change
from charlstm.config.settings import Config, DataConfig
from charlstm.config.usual_names import USUAL_NAMES
from charlstm.config.writing import config_to_dict, default_config_text, dump_config
from charlstm.errors import ConfigError

SETTINGS = {setting.path: setting for setting in all_settings()}


def config_with(**values):
    """A config from dotted names: ``config_with(**{"model.layers": 3})``."""
    nested = {"data": {"files": "text.txt"}}
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        (nested.setdefault(group, {}) if group else nested)[name] = value
    return config_from_dict(nested, "here")


def refusal(**values):
    with pytest.raises(ConfigError) as caught:
        config_with(**values)
    return str(caught.value)


@pytest.fixture
def load_text(tmp_path, monkeypatch):
    """Load a text as ``config.yaml``, named relative to the working directory."""
    monkeypatch.chdir(tmp_path)

    def load(text, *overrides):
        Path("config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(Path("config.yaml"), overrides)

    return load


def file_refusal(load_text, text, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_text(text, *overrides)
    return str(caught.value)


# ------------------------------------------------------------------------------- the schema


def test_defaults_and_a_few_values(load_text, tmp_path):
    text = "seed: 3\ndata:\n  files: a.txt\ntraining: {learning_rate: 1e-3, epochs: 2}\nmodel:\n"
    config = load_text(text)
    assert config == dataclasses.replace(
        config_with(**{"seed": 3, "training.learning_rate": 1e-3, "training.epochs": 2.0}),
        data=DataConfig(files=(f"{tmp_path}/a.txt",)),
    )
    assert type(config.training.epochs) is float
    assert config.model.cell == "lstm"


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_has_a_comment_and_a_sound_default(path):
    setting = SETTINGS[path]
    assert len(setting.comment) > 4
    assert setting.comment[-1] != "."
    assert setting.type_text
    if not setting.required:
        value = setting.default
        numeric = isinstance(value, int | float)
        assert not numeric or setting.contains(value)
        assert not setting.choices or numeric or value in setting.choices


def test_classes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config_with().model.layers = 3


def test_what_may_change_on_resume():
    fixed = {path for path in SETTINGS if not may_change(path)}
    groups = {"model", "data"}
    assert {p for p in fixed if p.partition(".")[0] in groups} == {
        p for p in SETTINGS if p.partition(".")[0] in groups
    } - {"data.files", "data.validation_files", "data.test_files"}
    assert {p for p in fixed if p.partition(".")[0] not in groups} == {
        "seed",
        "init_from",
        "evaluation.characters",  # or the best of two measures would be taken
        *(
            f"training.{name}"
            for name in (
                *("batch_size", "sequence_length", "optimizer", "momentum"),
                *("rmsprop_decay", "beta1", "beta2", "epsilon"),
                *("average", "average_fraction"),
            )
        ),
    }


# ---------------------------------------------------------------------------------- limits

COMPANIONS = {
    "data.byte_values": {"data.unit": "bytes"},
    "model.recurrent_dropout": {"model.cell": "layer-norm"},
    "model.skips": {"model.layers": 2},
    "training.weight_decay": {"training.optimizer": "adamw"},
    "training.clip_value": {"training.clip_norm": 0},
    "data.test_fraction": {"data.validation_fraction": 0},
}


def limits():
    """(path, last value allowed, first value refused) for every end of every range."""
    for path, setting in SETTINGS.items():
        whole = int in setting.alternatives
        for limit, outward in ((setting.low, -1), (setting.high, 1)):
            if limit is not None:
                beyond = limit + outward if whole else math.nextafter(limit, outward * math.inf)
                yield path, limit, beyond
        for limit, inward in ((setting.above, 1), (setting.below, -1)):
            if limit is not None:
                yield path, math.nextafter(limit, inward * math.inf), limit


@pytest.mark.parametrize(("path", "inside", "outside"), list(limits()))
def test_range_from_both_sides(path, inside, outside):
    companions = COMPANIONS.get(path, {})
    name = path.rpartition(".")
    config = config_with(**companions, **{path: inside})
    assert getattr(getattr(config, name[0]) if name[0] else config, name[2]) == inside
    message = refusal(**companions, **{path: outside})
    assert message == f"here: {path}: must be {SETTINGS[path].range_text}, found {outside}"


def test_number_of_ranges():
    assert len(list(limits())) >= 60  # an empty generator would pass the test above


WRONG = [
    ("training.learning_rate", "fast", "expected a number or auto, found 'fast'"),
    (
        "training.learning_rate",
        "2e-3",
        "expected a number or auto, found '2e-3'; remove the quotes",
    ),
    ("training.learning_rate", True, "expected a number or auto, found true"),
    ("training.learning_rate", None, "expected a number or auto, found nothing"),
    ("training.learning_rate", [1], "expected a number or auto, found a list"),
    ("training.learning_rate", {"a": 1}, "expected a number or auto, found a group of settings"),
    ("training.learning_rate", math.nan, "expected a finite number, found nan"),
    ("training.learning_rate", math.inf, "expected a finite number, found inf"),
    ("training.learning_rate", 10**400, "must be at most 9223372036854775807, found a number of"),
    ("model.layers", False, "expected a whole number or auto, found false"),
    ("model.layers", 2.0, "expected a whole number or auto, found 2.0; write 2"),
    ("model.layers", 2.5, "expected a whole number or auto, found 2.5"),
    ("model.layers", "017", "expected a whole number or auto, found '017'"),
    ("seed", 2**63, "must be at most 9223372036854775807, found 9223372036854775808"),
    ("training.steps", "all", "expected a whole number or null, found 'all'"),
    ("training.workers", "aut", "expected a whole number or auto, found 'aut'; did you mean"),
    ("model.cell", "lstn", "expected one of lstm, simple, layer-norm, found 'lstn'; did you mean"),
    ("model.cell", "layernorm", "found 'layernorm'; did you mean 'layer-norm'?"),
    ("model.cell", "LSTM", "found 'LSTM'"),
    ("model.cell", 5, "expected one of lstm, simple, layer-norm, found 5"),
    ("output.directory", 7, "expected text or null, found 7; put it in quotes"),
    ("output.directory", "", "must not be empty"),
    ("init_from", "a\0b", "must not contain the character U+0000"),
    ("init_from", "\udcff", "not valid Unicode text"),
    ("data.files", 1984, "expected text or a list of texts, found 1984; put it in quotes"),
    ("data.files", [], "must not be empty"),
    ("data.files", ["a", ""], "must not be empty"),
    ("data.files", ["a", 3], "expected text or a list of texts, found a list"),
    ("data.files", None, "expected text or a list of texts, found nothing"),
    ("data.replacement", "", "must not be empty"),
    ("data.replacement", "ab", "must be one character, found 2"),
    ("model.cell", "x" * 10_000, "expected one of lstm, simple, layer-norm, found 'xxxxx"),
]


@pytest.mark.parametrize(("path", "value", "problem"), WRONG)
def test_wrong_value_is_named(path, value, problem):
    message = refusal(**{path: value})
    assert message.startswith(f"here: {path}: ")
    assert problem in message
    assert len(message) <= 200


@pytest.mark.parametrize(
    ("blamed", "values"),
    [
        ("data.test_fraction", {"data.validation_fraction": 0.5, "data.test_fraction": 0.5}),
        ("data.newlines", {"data.unit": "bytes", "data.newlines": "normalize"}),
        ("data.normalize", {"data.unit": "bytes", "data.normalize": "NFC"}),
        ("data.min_count", {"data.unit": "bytes", "data.min_count": 2}),
        ("model.recurrent_dropout", {"model.recurrent_dropout": 0.1, "model.cell": "simple"}),
        ("model.skips", {"model.skips": True}),
        ("model.skips", {"model.skips": True, "model.layers": 1}),
        ("model.skips", {"model.skips": True, "model.layers": 2, "model.embedding_size": 0}),
        ("training.weight_decay", {"training.weight_decay": 0.1}),
        ("training.clip_value", {"training.clip_value": 1, "training.clip_norm": 1}),
        ("training.early_stopping", {"training.early_stopping": 1, "evaluation.every": 0}),
        ("training.early_stopping", {"training.early_stopping": 1, "data.validation_fraction": 0}),
        ("schedule.kind", {"schedule.kind": "plateau", "evaluation.every": 0}),
        ("schedule.kind", {"schedule.kind": "plateau", "data.validation_fraction": 0}),
        ("schedule.minimum", {"schedule.minimum": 0.1, "training.learning_rate": 2e-3}),
        ("schedule.warmup_steps", {"schedule.warmup_steps": 10, "training.steps": 10}),
    ],
)
def test_settings_that_do_not_go_together(blamed, values):
    assert refusal(**values).startswith(f"here: {blamed}: ")
    for path in values:  # each alone, with the other at its default, is right
        alone = {other: value for other, value in values.items() if other != path}
        if path != blamed and blamed not in COMPANIONS:
            config_with(**alone)


# ---------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model:\n  hiden_size: 3\n",
            "config.yaml:2: model: unknown setting 'hiden_size'; did you mean 'hidden_size'?",
        ),
        ("modle:\n", "config.yaml:1: unknown setting 'modle'; did you mean 'model'?"),
        (
            "learning_rate: 1\n",
            "config.yaml:1: unknown setting 'learning_rate';"
            " did you mean 'training.learning_rate'?",
        ),
        (
            "model:\n  batch_size: 3\n",
            "config.yaml:2: model: unknown setting 'batch_size';"
            " did you mean 'training.batch_size'?",
        ),
        (
            "model.cell: lstm\n",
            "config.yaml:1: write 'model.cell' as 'model:' with 'cell:' below it",
        ),
        (
            "qqq: 1\n",
            "config.yaml:1: unknown setting 'qqq'; 'charlstm config' lists all settings",
        ),
        (
            "\ntraining:\n  learning_rate: fast\n",
            "config.yaml:3: training.learning_rate: expected a number or auto, found 'fast'",
        ),
        (
            "data: {files: a}\nmodel:\n  dropout: 1\n",
            "config.yaml:3: model.dropout: must be at least 0 and below 1, found 1",
        ),
        (
            "data: {files: a}\nmodel:\n  recurrent_dropout: 0.1\n",
            "config.yaml:3: model.recurrent_dropout: needs cell: layer-norm, found lstm",
        ),
        (
            "data: {files: a}\nmodel:\n  skips: true\n",
            "config.yaml:3: model.skips: needs layers: 2 or more, found auto (auto takes 1)",
        ),
        (
            "data: {files: a}\nmodel: {layers: 2, embedding_size: 0, skips: true}\n",
            "config.yaml:2: model.skips: needs embedding_size above 0, found 0 (one-hot)",
        ),
        ("model: 5\n", "config.yaml:1: model: expected settings below it, found 5"),
        ("seed: 1\n", "config.yaml: data.files: is required: name the text to learn from"),
        ("seed: 1\nseed: 2\n", "config.yaml:2:1: 'seed' is given twice, first in line 1"),
    ],
)
def test_message_names_line_and_setting(load_text, text, message):
    assert file_refusal(load_text, text) == message


@pytest.mark.parametrize("meant", sorted(set(USUAL_NAMES.values())))
def test_what_is_usually_meant_exists(meant):
    options = {
        option
        for name in COMMANDS
        for param in commands.get_command(click.Context(commands), name).params
        for option in param.opts
    }
    assert meant in options | set(SETTINGS)


def test_no_usual_name_hides_a_setting():
    own = {path.rpartition(".")[2] for path in SETTINGS}
    assert not {name for name, meant in USUAL_NAMES.items() if meant in SETTINGS} & (
        own
        - {
            "patience"  # there is a schedule.patience, and it is found first
        }
    )


def test_unreadable_files(tmp_path):
    for name in ("missing.yaml", ".", "a\0b", "x" * 300):
        with pytest.raises(ConfigError, match=r"cannot read|not a file name"):
            load_config(tmp_path / name)


def test_file_paths_are_relative_to_the_config(tmp_path, monkeypatch):
    home, config_folder, work = (tmp_path / name for name in ("home", "configs[1]", "work"))
    for folder in (home, config_folder, work):
        folder.mkdir()
    (config_folder / "odd[2].txt").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    files = "[a.txt, ../b.txt, ~/c.txt, /d.txt, '*.txt', 'odd[2].txt']"
    (config_folder / "c.yaml").write_text(f"init_from: run\ndata: {{files: {files}}}\n")
    path = Path("../configs[1]/c.yaml")

    config = load_config(path)
    assert config.init_from == f"{config_folder}/run"
    assert config.data.files == (
        f"{config_folder}/a.txt",
        f"{tmp_path}/b.txt",
        f"{home}/c.txt",
        "/d.txt",
        f"{tmp_path}/configs[[]1]/*.txt",
        f"{config_folder}/odd[2].txt",
    )
    override = load_config(path, ["data.files=[a.txt, b.txt]", "init_from=x", "output.directory=y"])
    assert override.data.files == (f"{work}/a.txt", f"{work}/b.txt")
    assert override.init_from == f"{work}/x"
    assert override.output.directory == "y"


# ------------------------------------------------------------------------------- overrides


def test_overrides(load_text):
    config = load_text(
        "seed: 1\ndata: {files: a}\ntraining: {steps: 5, epochs: 3}\n",
        "seed=7",
        "training.learning_rate=1e-4",
        "training.steps=",
        "training.epochs=0.5",
        "training.epochs=2",
        "data.replacement==",
        "output.directory=a=b",
    )
    assert (config.seed, config.training.learning_rate) == (7, 1e-4)
    assert (config.training.steps, config.training.epochs) == (None, 2.0)
    assert (config.data.replacement, config.output.directory) == ("=", "a=b")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "override 'seed': expected KEY=VALUE, such as model.layers=3"),
        ("", "override '': expected KEY=VALUE, such as model.layers=3"),
        (
            "model.hiden_size=3",
            "override 'model.hiden_size=3': model: unknown setting 'hiden_size';"
            " did you mean 'hidden_size'?",
        ),
        (
            "hidden_size=3",
            "override 'hidden_size=3': unknown setting 'hidden_size';"
            " did you mean 'model.hidden_size'?",
        ),
        (
            "modle.hidden_size=3",
            "override 'modle.hidden_size=3': unknown setting 'modle.hidden_size';"
            " did you mean 'model.hidden_size'?",
        ),
        ("lr=1", "override 'lr=1': unknown setting 'lr'; did you mean 'training.learning_rate'?"),
        (
            "training.lr=1",
            "override 'training.lr=1': training: unknown setting 'lr'; did you mean"
            " 'learning_rate'?",
        ),
        (
            "model.BS=1",
            "override 'model.BS=1': model: unknown setting 'BS'; did you mean"
            " 'training.batch_size'?",
        ),
        (
            "model=3",
            "override 'model=3': model is a group of settings; set one of them: model.cell=...",
        ),
        ("seed=x", "override 'seed=x': seed: expected a whole number, found 'x'"),
        (
            "model.dropout=1.5",
            "override 'model.dropout=1.5': model.dropout: must be at least 0 and below 1,",
        ),
        (
            "training.clip_value=1",
            "override 'training.clip_value=1': training.clip_value: clip by norm or by value:"
            " set clip_norm or clip_value to 0",
        ),
        (
            "training.products=16x256x256",
            "override 'training.products=16x256x256': training.products: must be auto, whole, or"
            " words like 16x256x256:16x64, found '16x256x256'",
        ),
        (
            "training.products=16x256x256:5x64",
            "override 'training.products=16x256x256:5x64': training.products: 16x256x256:5x64:"
            " 5 x 64 tiles do not divide 16 x 256",
        ),
        ("data.files=", "override 'data.files=': data.files: expected text or a list of texts,"),
        ("data.files=[a", "override 'data.files=[a':1:3: not YAML: "),
        ("data.files=\udcff", r"override 'data.files=\udcff': not valid Unicode text"),
        ("seed={a: 1}", "override 'seed={a: 1}': seed: expected a whole number, found a group of"),
        ("\x1b[0m=1", r"override '\x1b[0m=1': unknown setting '\x1b[0m'; "),
    ],
)
def test_override_is_checked_like_the_file(load_text, override, message):
    found = file_refusal(load_text, "data: {files: a}\n", override)
    assert found.startswith(message)
    assert len(found) <= 300
    assert found.isprintable()


# --------------------------------------------------------------------------------- writing

UNUSUAL = {
    "training.average": "last-fraction",
    "seed": 2**63 - 1,
    "init_from": "/runs/no",
    "data.files": ["/a b.txt", "/c: #d.txt", "/*.txt", "/é\u202e\x1b😀'\"\\\n.txt", "/yes"],
    "data.validation_fraction": 0.05,
    "data.test_fraction": 1e-7,
    "data.newlines": "normalize",
    "data.normalize": "NFC",
    "data.min_count": 3,
    "data.replacement": "~",
    "data.new_characters": "grow",
    "model.cell": "layer-norm",
    "model.input_gate": "capped",
    "model.skips": True,
    "model.recurrent_dropout": 0.1 + 0.2,
    "model.forget_bias": -1.0,
    "model.norm_epsilon": 1e-12,
    "model.dtype": "float64",
    "training.epochs": 1e8,
    "training.steps": 12345,
    "training.minutes": 2.5,
    "training.optimizer": "adamw",
    "training.learning_rate": 1e22,
    "training.workers": 3,
    "training.blas_threads": 2,
    "training.products": "16x256x256:16x64 7x3x5:7x1",
    "training.clip_norm": 0.0,
    "schedule.kind": "exponential",
    "output.directory": "1e-3",
    "data.validation_files": ["/a b.txt", "/c*.txt"],
    "data.test_files": ["/d.txt", "/e"],
    "data.items": "\n-- %\n",
    "data.labels": True,
}


def unusual_config():
    values = dict(UNUSUAL)
    for path, setting in SETTINGS.items():
        if path not in values and (setting.auto or isinstance(setting.default, int | float)):
            whole = 5 if setting.auto else setting.default + 3
            values[path] = 0.5 if float in setting.alternatives else whole
    return config_with(**{**values, "data.unit": "characters"})


def test_dump_and_load_every_setting(load_text):
    config = unusual_config()
    same = {path for path, *_ in differences(config, config_with())} ^ set(SETTINGS)
    # its other value excludes three settings, and is needed for one; both are tested below
    assert same == {"data.unit", "data.byte_values"}
    for comments in (True, False):
        text = dump_config(config, comments)
        assert load_text(text) == config
        assert yaml.safe_load(text) == config_to_dict(config)  # other readers see the same
        assert ("#" in text.replace("/c: #d.txt", "")) is comments
    of_bytes = {"data.unit": "bytes", "data.byte_values": "observed", "data.files": "/a"}
    bytes_config = config_with(**of_bytes)
    assert load_text(dump_config(bytes_config)) == bytes_config


@pytest.mark.parametrize(
    "text",
    list("\ufffd\u2028\x85\ufeff\uffff\U0010ffff\u0301\x7f #-0yé\t\n'\"\\😀%[<&*!|~"),
)
def test_every_character_survives_the_file(load_text, text):
    config = config_with(**{"data.replacement": text, "data.files": "/a"})
    dumped = dump_config(config)
    assert load_text(dumped).data.replacement == text
    assert yaml.safe_load(dumped)["data"]["replacement"] == text


@pytest.mark.parametrize("text", ["no", "Y", "on", "null", "True", "017", ".5", "a b", "./a", "é"])
def test_text_stays_text_for_every_reader(load_text, text):
    dumped = dump_config(config_with(**{"output.directory": text, "data.files": "/a"}))
    assert load_text(dumped).output.directory == text
    assert yaml.safe_load(dumped)["output"]["directory"] == text


def test_random_floats_survive_the_file(load_text):
    random_bits = random.Random(3)
    for _ in range(100):
        rate = math.ldexp(random_bits.random(), random_bits.randint(-300, 300))
        config = config_with(**{"training.learning_rate": rate, "data.files": "/a"})
        text = dump_config(config)
        assert load_text(text) == config
        assert yaml.safe_load(text)["training"]["learning_rate"] == rate


def test_dict_and_json_are_ways_back():
    config = unusual_config()
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config))), "here") == config
    with pytest.raises(ConfigError, match=r"\Ahere: expected settings, found a list"):
        config_from_dict([1], "here")


def test_default_text_needs_only_files(load_text, tmp_path):
    text = default_config_text()
    assert max(len(line) for line in text.splitlines()) <= 100
    for path, setting in SETTINGS.items():
        name = path.rpartition(".")[2]
        assert sum(f" {name}: " in f" {line}" for line in text.splitlines()) >= 1
        assert setting.comment in text
    assert '"\\ufffd"' in text  # shown as itself it looks like a damaged file
    assert "data.files: expected text" in file_refusal(load_text, text)
    expected = config_with(**{"data.files": f"{tmp_path}/x.txt"})
    assert load_text(text, "data.files=x.txt") == expected
    assert load_text(text.replace("  files: null", "  files: x.txt")) == expected


def test_differences():
    ours, theirs = config_with(seed=1), config_with(**{"seed": 2, "model.layers": 4})
    assert differences(ours, theirs) == [("seed", 1, 2), ("model.layers", "auto", 4)]
    assert differences(ours, ours) == []


# ------------------------------------------------------------------------------------ fuzz

TOKENS = [
    *("!!python/object/apply:os.system [ls]", "!!binary ", "!!timestamp ", "&a ", "*a", "<<: *a"),
    *("? ", ": ", "- ", "[", "]", "{", "}", "|", ">", "'", '"', "#", "\t", "\n"),
    *("---\n", "...\n", "%YAML 9.9\n", "\\x", "\\ud800", "\\U00110000", "[" * 400, "9" * 5000),
    *("2001-99-99", ".nan", "-.inf", "1e999", "0x", "017", "12:30", "~", "null", "true", "yes"),
    *("seed", "model", "data", "files", "cell"),
    *("\0", "\ufeff", "\u202e", "\x1b[31m", "\u2028"),
]


def mutated(text, chance):
    """A few random changes of bytes, tokens and lines."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(text))
        match chance.randrange(6):
            case 0:
                text = text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]
            case 1:
                text = text[:at] + text[at + chance.randint(1, 40) :]
            case 2:
                text = text[:at] + chance.choice(TOKENS).encode() + text[at:]
            case 3:
                lines = text.split(b"\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                text = b"\n".join(lines)
            case 4:
                words = text.split(b" ")
                words[chance.randrange(len(words))] = chance.choice(TOKENS).encode()
                text = b" ".join(words)
            case 5:
                text = text[:at] + text[at : at + 30] * 2 + text[at + 30 :]
    return text


def fuzz_seeds():
    text = dump_config(unusual_config())
    plain = dump_config(config_with(), comments=False)
    short = (
        "data: {files: [a.txt, 'b.txt']}\nmodel:\n  layers: 3 # three\ntraining: {epochs: 2.5}\n"
    )
    return [text.encode(), plain.encode(), *[short.encode()] * 4, b"seed: 1\ndata: {files: x}\n"]


@pytest.fixture
def no_garbage_collection():
    """Collecting what thousands of tests before have left takes longer than what is timed."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
def test_fuzzed_files_give_a_config_or_one_line(load_text):
    chance = random.Random(20260501)
    seeds = fuzz_seeds()
    outcomes = {"config": 0, "refused": 0}
    slowest = 0.0
    for _ in range(3000):
        text = mutated(chance.choice(seeds), chance)
        started = time.process_time()
        try:
            config = load_text(text)
        except ConfigError as error:
            message = str(error)
            assert message.startswith("config.yaml:"), text
            assert len(message) <= 300, text
            assert message.isprintable(), text
            outcomes["refused"] += 1
        else:
            assert isinstance(config, Config)
            outcomes["config"] += 1
        slowest = max(slowest, time.process_time() - started)
    print(f"3,000 fuzzed configs: {outcomes}, slowest {1000 * slowest:.1f} ms")
    assert min(outcomes.values()) > 100, outcomes  # both ends are really reached
    assert slowest < 0.1


def test_fuzzed_overrides_give_a_config_or_one_line(load_text):
    chance = random.Random(7)
    for _ in range(1000):
        path = chance.choice([*SETTINGS, "model", "sed"])
        override = f"{path}={''.join(chance.choices(TOKENS, k=2))}".encode()
        override = os.fsdecode(mutated(override, chance) if chance.random() < 0.5 else override)
        try:
            load_text("data: {files: a}", override)
        except ConfigError as error:
            message = str(error)
            assert message.startswith("override "), override
            assert len(message) <= 300, override
            assert message.isprintable(), override


def test_importing_does_not_load_numpy():
    code = "import sys, charlstm.config.reading; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
