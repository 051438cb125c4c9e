"""Checkpoints: whole and true, or refused with one line before they cost anything."""

import copy
import hashlib
import json
import os
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import GOLDEN
from tiny import TEXT, forge, newest, tiny_config, train, write_checkpoint
from torture.processes import quick_folder

from charlstm.errors import DivergedError, FileError, UserError
from charlstm.look.score import exact_losses
from charlstm.nn.sampling import Choice, generate
from charlstm.saved import checkpoint as module
from charlstm.saved.checkpoint import Checkpoint, checkpoint_chunks, load_model, read_checkpoint
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.system.sealed import seal
from charlstm.training.dataset import read_dataset
from charlstm.training.setup import evaluation_of, prepare
from charlstm.training.trainer import Requests

MUTANTS = 2_000 * int(os.environ.get("CHARLSTM_TORTURE", "1"))

SETTINGS = {"training.optimizer": "adam", "schedule.kind": "plateau", "model.embedding_size": 3}

Arrays = dict[str, np.ndarray]
State = dict[str, Any]
Change = Callable[[Arrays, State], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after 11 steps."""
    folder = tmp_path_factory.mktemp("made")
    train(tiny_config(folder, **SETTINGS), folder / "run", stop_after=11)
    return folder / "run"


@pytest.fixture
def file(made: Path, tmp_path: Path) -> Path:
    """A copy of its checkpoint."""
    copied = tmp_path / "forged.safetensors"
    copied.write_bytes(RunFolder(made).checkpoint_path(11).read_bytes())
    return copied


def test_what_is_written_is_read(made: Path, tmp_path: Path):
    first = newest(made)
    write_checkpoint(tmp_path / "again", first)
    second = read_checkpoint(tmp_path / "again")
    for name, ours in vars(first).items():
        theirs = getattr(second, name)
        if name in ("parameters", "optimizer"):
            assert ours.keys() == theirs.keys()
            for key in ours:
                assert ours[key].dtype == theirs[key].dtype
                np.testing.assert_array_equal(ours[key], theirs[key])
        elif name == "states":
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs, name
    assert first.progress.step == first.optimizer_steps == 11
    assert first.states.shape == (2, 2, 3, 5)
    assert set(first.optimizer) == {"mean", "mean_square"}
    assert first.corpus.characters == len(TEXT)


@pytest.mark.parametrize("where", ["parameters", "optimizer"])
def test_what_is_not_finite_is_never_written(made: Path, where: str):
    checkpoint = newest(made)
    next(iter(getattr(checkpoint, where).values())).flat[-1] = np.nan
    with pytest.raises(DivergedError, match="not saved"):
        checkpoint_chunks(checkpoint)


def test_loading_gives_the_trained_model(made: Path):
    loaded = load_model(made)
    assert loaded.path == made / "best.safetensors"  # a folder means its best
    newer = load_model(RunFolder(made).checkpoint_path(11))
    for name, parameter in newer.model.parameters().items():
        np.testing.assert_array_equal(parameter.value, newest(made).parameters[name])
    assert (newer.model.values != loaded.model.values).any()
    assert newer.progress.step == 11


# Right checksum, wrong content


def setting(group: str, name: str, value: Any) -> Change:
    def change(arrays: Arrays, state: State) -> None:
        (state["config"][group] if group else state["config"])[name] = value

    return change


def progress(name: str, value: Any) -> Change:
    def change(arrays: Arrays, state: State) -> None:
        state["progress"][name] = value

    return change


def top(name: str, value: Any) -> Change:
    def change(arrays: Arrays, state: State) -> None:
        state[name] = value

    return change


def without(name: str) -> Change:
    def change(arrays: Arrays, state: State) -> None:
        del (arrays if name in arrays else state)[name]

    return change


def array(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(arrays: Arrays, state: State) -> None:
        arrays[name] = make(arrays.get(name, np.zeros(3, np.float32)))

    return change


def vocabulary(make: Callable[[np.ndarray], None]) -> Change:
    def change(arrays: Arrays, state: State) -> None:
        make(arrays["vocabulary"])

    return change


def put(values: np.ndarray, place: int, value: int) -> None:
    values[place] = value


FORGERIES: dict[str, tuple[Change, str]] = {
    "best loss of no step": (progress("best_step", None), "progress.best_step: belongs to"),
    "best step of no loss": (progress("best_val_loss", None), "progress.best_step: belongs to"),
    "missing parameter": (without("param/lstm.1.W_h"), "array param/lstm.1.W_h is missing"),
    "missing moment": (without("optimizer/mean"), "array optimizer/mean is missing"),
    "missing states": (without("state"), "array state is missing"),
    "no vocabulary": (without("vocabulary"), "holds no vocabulary"),
    "extra array": (array("param/extra", np.copy), "unexpected array 'param/extra'"),
    "foreign name": (array("x/..", np.copy), "unexpected array 'x/..'"),
    "extra moment": (array("optimizer/velocity", np.copy), "unexpected array"),
    "transposed": (array("param/linear.W_y", np.transpose), "expected float32 (5, "),
    "one too few": (array("optimizer/mean", lambda a: a[:-1]), "array optimizer/mean: expected"),
    "float64": (array("param/linear.b_y", lambda a: a.astype(np.float64)), "found float64"),
    "integers": (array("param/linear.b_y", lambda a: a.astype(np.uint32)), "found uint32"),
    "states of fewer lanes": (array("state", lambda a: a[:, :, :-1]), "array state: expected"),
    "states of one layer": (array("state", lambda a: a[:1]), "array state: expected"),
    "no axes": (array("state", lambda a: a[0, 0, 0, 0]), "array state: expected"),
    "vocabulary: duplicate": (vocabulary(lambda v: put(v, 3, v[2])), "strictly increasing"),
    "vocabulary: order": (vocabulary(lambda v: put(v, 0, 999)), "strictly increasing"),
    "vocabulary: surrogate": (vocabulary(lambda v: put(v, -1, 0xD800)), "surrogates"),
    "vocabulary: beyond": (vocabulary(lambda v: put(v, -1, 0x110000)), "outside Unicode"),
    "vocabulary: empty": (array("vocabulary", lambda a: a[:0]), "expected a list of characters"),
    "vocabulary: square": (array("vocabulary", lambda a: a[:4].reshape(2, 2)), "expected a list"),
    "vocabulary: floats": (array("vocabulary", lambda a: a.astype(np.float32)), "expected uint32"),
    "vocabulary: one more": (
        array("vocabulary", lambda a: np.append(a, np.uint32(0x10FFFF))),
        "array param/",
    ),
    "unit": (top("unit", "words"), "unit: expected characters or bytes, found 'words'"),
    "unit: list": (top("unit", []), "unit: expected"),
    "unit: bytes": (top("unit", "bytes"), "exactly the values 0 to 255"),
    "hidden_size: 10^9": (setting("model", "hidden_size", 10**9), "must be at least 1 and at most"),
    "hidden_size: 10^6": (setting("model", "hidden_size", 10**6), "array "),
    "hidden_size: 2^200": (setting("model", "hidden_size", 2**200), "model.hidden_size"),
    "hidden_size: true": (setting("model", "hidden_size", True), "expected a whole number"),
    "hidden_size: -1": (setting("model", "hidden_size", -1), "must be at least 1"),
    "layers: 1000": (setting("model", "layers", 1000), "array param/lstm.2.W_x is missing"),
    "layers: 0": (setting("model", "layers", 0), "must be at least 1"),
    "batch_size: 10^6": (setting("training", "batch_size", 10**6), "array state: expected"),
    "embedding: 10^6": (
        setting("model", "embedding_size", 10**6),
        "array param/embedding.E: expected",
    ),
    "embedding: 0": (setting("model", "embedding_size", 0), "array param/lstm.0.W_x: expected"),
    "cell": (setting("model", "cell", "__import__('os')"), "model.cell: expected one of"),
    "other cell": (setting("model", "cell", "layer-norm"), "array "),
    "other optimizer": (setting("training", "optimizer", "momentum"), "optimizer/velocity"),
    "dtype": (setting("model", "dtype", "object"), "model.dtype: expected one of"),
    "other dtype": (setting("model", "dtype", "float64"), "expected float64"),
    "unknown setting": (setting("model", "run", "../../.ssh"), "unknown setting 'run'"),
    "unknown group": (setting("", "run", "../../.ssh"), "unknown setting 'run'"),
    "path with NUL": (setting("output", "directory", "a\0b"), "U+0000"),
    "settings: a list": (top("config", []), "config: expected a mapping"),
    "settings: missing": (without("config"), "config: expected a mapping"),
    "progress: missing": (without("progress"), "progress: expected a mapping"),
    "progress: more": (progress("run", "../../.ssh"), "progress: expected"),
    "step: 2^63": (progress("step", 2**63), "progress.step: out of range"),
    "step: negative": (progress("step", -1), "progress.step: out of range"),
    "step: float": (progress("step", 3.0), "progress.step: found 3.0"),
    "step: true": (progress("step", True), "progress.step: found True"),
    "step: text": (progress("step", "11"), "progress.step: found '11'"),
    "step: null": (progress("step", None), "progress.step: found None"),
    "epoch: list": (progress("epoch", [1]), "progress.epoch: found [1]"),
    "metrics_length: negative": (progress("metrics_length", -5), "out of range"),
    "metrics_length: 2^64": (progress("metrics_length", 2**64), "out of range"),
    "samples_length: text": (progress("samples_length", "9"), "samples_length: found"),
    "finished: 1": (progress("finished", 1), "progress.finished: found 1"),
    "due: text": (progress("due", "sample"), "progress.due: found 'sample'"),
    "due: unknown": (progress("due", ["rm"]), "progress.due: found ['rm']"),
    "due: twice": (progress("due", ["sample", "sample"]), "progress.due: found"),
    "due: lists": (progress("due", [["sample"]]), "progress.due: found"),
    "schedule: list": (progress("schedule", [1]), "progress.schedule: found [1]"),
    "optimizer_steps: negative": (top("optimizer_steps", -1), "optimizer_steps: expected a count"),
    "optimizer_steps: 2^63": (top("optimizer_steps", 2**63), "optimizer_steps: expected a count"),
    "optimizer_steps: true": (top("optimizer_steps", True), "optimizer_steps: expected a count"),
    "corpus: null": (top("corpus", None), "corpus: expected a mapping"),
    "corpus: no hash": (top("corpus", {"characters": 3}), "corpus: expected sha256"),
    "corpus: more": (top("corpus", {"sha256": "", "characters": 1, "x": 2}), "corpus: expected"),
    "corpus: negative": (top("corpus", {"sha256": "", "characters": -1}), "characters: expected"),
    "corpus: true": (top("corpus", {"sha256": "", "characters": True}), "characters: expected"),
    "versions: text": (top("versions", "9"), "versions: expected a mapping"),
    "fingerprint: list": (top("fingerprint", [1]), "fingerprint: expected a text"),
    "more": (top("code", "import os"), "unexpected entry 'code'"),
    "escape codes": (top("unit", "\x1b[2J" * 99), "unit: expected"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused_with_one_line(file: Path, name: str):
    change, reason = FORGERIES[name]
    forge(file, change)
    with pytest.raises(FileError) as caught:
        read_checkpoint(file)
    message = str(caught.value)
    assert reason in message
    assert str(file) in message
    assert len(message) < len(str(file)) + 300
    assert message.isprintable()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(file: Path, value: float):
    mark = np.float32(123.5)
    forge(file, array("param/linear.b_y", lambda a: np.full_like(a, mark)))
    content = file.read_bytes().replace(mark.tobytes(), np.float32(value).tobytes())
    start, stop = content[:35], content[99:]
    digest = hashlib.sha256(start + b"0" * 64 + stop).hexdigest().encode()
    file.write_bytes(start + digest + stop)
    with pytest.raises(FileError, match=r"NaN or infinite numbers in param/linear\.b_y"):
        read_checkpoint(file)


def test_everything_is_refused_before_it_takes_memory(file: Path):
    """What is declared is large enough to end this machine; what is taken, a few copies."""
    original = file.read_bytes()
    requests = [("model", "hidden_size"), ("model", "embedding_size"), ("training", "batch_size")]
    for group, name in requests:
        file.write_bytes(original)
        forge(file, setting(group, name, 10**6))
        assert peak_of(lambda: refused(file)) < 2_000_000


def test_loading_takes_a_few_times_the_size_of_the_file(tmp_path: Path):
    settings = {"model.hidden_size": 150, "training.optimizer": "sgd", "training.steps": 1}
    train(tiny_config(tmp_path, **settings), tmp_path / "run")
    file = RunFolder(tmp_path / "run").checkpoint_path(1)
    size = file.stat().st_size
    assert size > 1_000_000
    assert peak_of(lambda: load_model(file)) < 6 * size


def refused(file: Path) -> None:
    with pytest.raises(FileError):
        load_model(file)


def peak_of(action: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Mutants


NASTY: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**9, 2**31, 2**63 - 1, 2**63, 2**64, 10**400),
    *(-0.0, 0.5, 1e-300, 1e300, -1e300, 1.5, "", "a", "\0", "\x1b[2J", "../../.ssh", "bytes"),
    *("characters", "float64", "layer-norm", "plateau", "é" * 1000, "\ufffd", [], [[]], {}),
    *({"step": 1}, {"factor": -1.0, "best": None, "waiting": 0}, ["a", "b"], [1, 2], "NaN"),
]


def places_of(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else []
    return [place] + [p for key, v in inner for p in places_of(v, (*place, key))]


def mutate(state: State, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        *path, last = rng.choice(places_of(state)[1:])
        home = state
        for key in path:
            home = home[key]
        kind = rng.random()
        if kind < 0.1:
            del home[last]
        elif kind < 0.2:
            home[rng.choice(["x", "", "__class__", "step", "model", str(last) + " "])] = home[last]
        else:
            home[last] = copy.deepcopy(rng.choice(NASTY))


def test_a_whole_number_may_stand_for_a_float(file: Path):
    forge(file, progress("epoch", 3))
    assert read_checkpoint(file).progress.epoch == 3


def test_mutants_are_refused_or_can_be_used(made: Path):
    """Every part of the state changed at random, and sealed again. Whatever is accepted must
    serve: to compute losses, to write text, and to go on training from (or be refused there).
    """
    figures = {"refused": 0, "accepted": 0, "resumed": 0}
    with quick_folder() as folder:
        try_mutants(made, RunFolder(folder / "run"), figures)
    print(f"{MUTANTS} mutants: {figures}")
    assert figures["refused"] > MUTANTS / 3
    assert figures["accepted"] > MUTANTS / 20
    assert figures["resumed"] > 0


def try_mutants(made: Path, folder: RunFolder, figures: dict[str, int]) -> None:
    rng = random.Random(2025)
    arrays, state = module.read_sealed(RunFolder(made).checkpoint_path(11))
    config = newest(made).config
    folder.create()
    lengths: list[int] = []
    for number in range(MUTANTS):
        mutant = copy.deepcopy(state)
        mutate(mutant, rng)
        path = folder.checkpoint_path(11)
        path.write_bytes(b"".join(seal(arrays, mutant)))
        try:
            loaded = load_model(path)
        except FileError as error:
            figures["refused"] += 1
            lengths.append(len(str(error)))
            continue
        figures["accepted"] += 1
        ids = loaded.vocabulary.encode(TEXT[:9])
        assert np.isfinite(np.concatenate(list(exact_losses(loaded.model, ids)))).all()
        text = generate(loaded.model, ids, count=1, length=3, choice=Choice(), seed=number)
        assert len(list(text)) == 3
        if figures["accepted"] % 10 == 0:
            figures["resumed"] += goes_on(config, folder.path)
    assert max(lengths) < 600


def goes_on(config: Any, folder: Path) -> bool:
    try:
        train(config, folder, resume=True)
    except UserError:
        return False
    finally:
        for left in [*folder.glob("*.*"), *folder.glob("checkpoints/*")]:
            left.unlink()
    return True


# Reading while a trainer writes


def test_a_checkpoint_that_is_removed_between_looking_and_reading(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    content = RunFolder(made).checkpoint_path(11).read_bytes()
    folder.checkpoint_path(11).write_bytes(content)

    def read(path: Path) -> Checkpoint:
        if path == folder.checkpoint_path(11):  # the trainer saves and cleans up just now
            folder.checkpoint_path(12).write_bytes(content)
            path.unlink()
        return read_checkpoint(path)

    monkeypatch.setattr(module, "read_checkpoint", read)
    assert load_model(folder.path).path == folder.checkpoint_path(12)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileError, match="No such file"):
        load_model(tmp_path / "nothing")


# Old files are read for ever


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.safetensors")), ids=lambda file: file.stem)
def test_golden_checkpoints(file: Path, tmp_path: Path):
    assert file.stat().st_size < 20_000
    recorded = json.loads(file.with_suffix(".json").read_text())
    found = use_golden(file, tmp_path)
    assert found["text"] == recorded["text"]
    assert found["losses"] == pytest.approx(recorded["losses"], rel=1e-4)
    assert found["validation"] == pytest.approx(recorded["validation"], rel=1e-4)


def use_golden(file: Path, folder: Path) -> dict[str, Any]:
    """What the model writes, taking the likeliest, and the losses of the next ten steps."""
    loaded = load_model(file)
    ids = loaded.vocabulary.encode("the ")
    text = list(generate(loaded.model, ids, count=1, length=60, choice=Choice(0.0), seed=0))
    (folder / "text.txt").write_text(TEXT, newline="")
    data = replace(loaded.config.data, files=(str(folder / "text.txt"),))
    config = replace(loaded.config, data=data)
    dataset = read_dataset(config)
    trainer, _ = prepare(dataset, Alone(), read_checkpoint(file))
    losses = [trainer.step(Requests()).loss for _ in range(10)]
    evaluation = evaluation_of(dataset, trainer)
    assert evaluation is not None
    return {
        "text": loaded.vocabulary.decode(np.concatenate(text)),
        "losses": losses,
        "validation": evaluation.mean_loss(),
    }


def test_there_is_a_golden_checkpoint():
    assert (GOLDEN / "format-1.safetensors").exists()
