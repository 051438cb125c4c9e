"""Models in PyTorch, onnxruntime and NumPy, and back: the same logits on real text."""

import io
import json
import re
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from layers import CELL_NAMES, settings_of
from places import DOCS, ROOT
from tiny import tiny_config, train, write_checkpoint

from charlstm.cli.export import FORMATS as OFFERED
from charlstm.config.auto import TYPICAL
from charlstm.config.fitting import sizes
from charlstm.errors import ConfigError, DivergedError, FileError
from charlstm.look.score import exact_losses
from charlstm.nn.model import CharLM, Shape
from charlstm.saved.checkpoint import LoadedModel, load_model, read_checkpoint
from charlstm.saved.interchange import exporting
from charlstm.saved.interchange.description import vocabulary_of
from charlstm.saved.interchange.exporting import export
from charlstm.saved.interchange.importing import import_checkpoint
from charlstm.saved.interchange.torch_names import to_torch
from charlstm.system.safetensors import read_tensors, tensor_chunks
from charlstm.system.sealed import read_sealed

TEXT = (ROOT / "LICENSE").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
"""Real text: some 3,000 characters of English and Markdown."""
T, B = 700, 3
ALIKE = {"float32": 2e-6, "float64": 1e-14}
"""How far programs may be apart, as a part of the largest logit; docs/interchange.md says so."""

VARIANTS = {
    "one-hot": {"model.layers": 3},
    "embedding": {"model.embedding_size": 11},
    "one layer": {"model.layers": 1},
    "float64": {"model.dtype": "float64"},
}


def trained(folder: Path, **settings: Any) -> LoadedModel:
    few = {
        "data.validation_fraction": 0.1,
        "model.layers": 2,
        "model.hidden_size": 23,
        "training.steps": 300,
        "training.learning_rate": 0.005,
        "training.batch_size": 5,
        "training.sequence_length": 20,
        "evaluation.every": 0,
    }
    train(tiny_config(folder, TEXT, **few | settings), folder / "run")
    return load_model(folder / "run")


OTHERS: list[tuple[str, int]] = [
    *(("simple", 0), ("simple", 7), ("layer-norm", 0), ("layer-norm", 7)),
    *(("lstm capped", 0), ("lstm capped", 7), ("simple capped", 7), ("layer-norm capped", 0)),
    *(("lstm skips", 7), ("simple capped skips", 7), ("layer-norm skips", 7)),
]
"""Cells for which others have no module: with one-hot input, and embedded."""


@cache
def other_cell(cell: str, embedding_size: int) -> LoadedModel:
    settings = {"model.embedding_size": embedding_size} | settings_of(cell)
    settings |= {"training.steps": 80, "training.learning_rate": 0.003, "model.norm_epsilon": 1e-3}
    with TemporaryDirectory() as folder:
        return trained(Path(folder), **settings)


@pytest.fixture(scope="module", params=VARIANTS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model that has learned something: its weights are no longer small and symmetric."""
    return trained(tmp_path_factory.mktemp("trained"), **VARIANTS[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return trained(tmp_path_factory.mktemp("plain"))


def real_ids(loaded: LoadedModel) -> np.ndarray:
    """Three stretches of the text, ``(T, B)``."""
    ids = loaded.vocabulary.encode(TEXT)[: T * B]
    return ids.reshape(B, T).T.astype(np.int64)


def our_logits(model: CharLM, ids: np.ndarray) -> np.ndarray:
    """``(T, B, V)``."""
    logits, _ = model.forward(ids, model.zero_states(ids.shape[1]), model.tape(*ids.shape))
    return logits.reshape(*ids.shape, -1).copy()


def assert_alike(theirs: np.ndarray, ours: np.ndarray, dtype: str = "float32") -> None:
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=ALIKE[dtype] * np.abs(ours).max())


def parameters(loaded: LoadedModel) -> dict[str, np.ndarray]:
    return {name: parameter.value for name, parameter in loaded.model.parameters().items()}


def write(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> Path:
    path.write_bytes(b"".join(tensor_chunks(arrays, metadata)))
    return path


def refusal(path: Path, given: Any = None) -> str:
    with pytest.raises(FileError) as caught:
        import_checkpoint(path, given)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    assert path.name in message
    return message


def test_the_page_says_how_alike_they_are():
    page = " ".join((DOCS / "interchange.md").read_text(encoding="utf-8").split())
    bounds = re.search(r"within (\S+) of the largest .* agrees to (\S+) of it", page)
    assert bounds
    assert [float(number) for number in bounds.groups()] == [ALIKE["float32"], ALIKE["float64"]]


# PyTorch


def torch_on_one_thread() -> Any:
    """With more, each tiny product waits for threads that a busy machine does not run."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.set_num_threads(1)
    return torch


def torch_module(torch: Any, shape: Shape) -> Any:
    """What docs/interchange.md shows, with the widths of ``shape``."""
    V, H, E = shape.vocabulary_size, shape.hidden_size, shape.embedding_size

    class Reader(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            if E:
                self.embedding = torch.nn.Embedding(V, E)
            self.lstm = torch.nn.LSTM(E or V, H, shape.layers)
            self.linear = torch.nn.Linear(H, V)

        def forward(self, ids: Any) -> Any:
            one_hot = torch.nn.functional.one_hot
            x = self.embedding(ids) if E else one_hot(ids, V).to(self.linear.weight.dtype)
            y, _ = self.lstm(x)
            return self.linear(y)

    return Reader().to(getattr(torch, shape.dtype))


def torch_logits(torch: Any, loaded: LoadedModel, state: dict[str, Any]) -> np.ndarray:
    module = torch_module(torch, loaded.model.shape)
    module.load_state_dict(state, strict=True)
    with torch.no_grad():
        return module(torch.from_numpy(real_ids(loaded))).numpy()


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_pytorch_gives_the_same_logits(loaded: LoadedModel, tmp_path: Path, form: str):
    torch = torch_on_one_thread()
    path = tmp_path / "model"
    export(loaded, path, form)
    if form == "torch":
        state = torch.load(path, weights_only=True)
    else:
        official = pytest.importorskip("safetensors.torch")
        state = official.load_file(path)
    theirs = torch_logits(torch, loaded, state)
    ours = our_logits(loaded.model, real_ids(loaded))
    assert np.abs(ours).max() > 2  # it has opinions to agree on
    assert_alike(theirs, ours, loaded.model.shape.dtype)


def test_pytorch_gives_the_same_logits_for_a_wide_model_with_strong_opinions(tmp_path: Path):
    torch = torch_on_one_thread()
    wide = {"model.hidden_size": 128, "training.learning_rate": 0.01, "training.steps": 250}
    loaded = trained(tmp_path, **wide)
    state = {
        name: torch.from_numpy(array)
        for name, array in to_torch(parameters(loaded), loaded.model.shape.layers).items()
    }
    ours = our_logits(loaded.model, real_ids(loaded))
    assert np.abs(ours).max() > 12
    assert_alike(torch_logits(torch, loaded, state), ours)


def test_from_pytorch(tmp_path: Path):
    """A module that torch initialised, with names of its own, two biases that are not zero, and
    its characters in an order of their own.
    """
    torch = torch_on_one_thread()
    official = pytest.importorskip("safetensors.torch")
    characters = list(dict.fromkeys(TEXT))
    assert characters != sorted(characters)

    class Theirs(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.Embedding(len(characters), 6)
            self.rnn = torch.nn.LSTM(6, 9, 2)
            self.decoder = torch.nn.Linear(9, len(characters))

        def forward(self, ids: Any) -> Any:
            return self.decoder(self.rnn(self.encoder(ids))[0])

    torch.manual_seed(5)
    theirs = Theirs()
    official.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    checkpoint = import_checkpoint(tmp_path / "theirs.safetensors", vocabulary_of(characters))
    write_checkpoint(tmp_path / "ours.ckpt", checkpoint)
    loaded = load_model(tmp_path / "ours.ckpt")

    text = TEXT[:500]
    their_ids = torch.tensor([characters.index(c) for c in text])[:, None]
    with torch.no_grad():
        targets = their_ids[1:, 0]
        expected = torch.nn.functional.cross_entropy(
            theirs(their_ids)[:-1, 0], targets, reduction="none"
        ).numpy()
    losses = np.concatenate(list(exact_losses(loaded.model, loaded.vocabulary.encode(text))))
    assert_alike(losses, expected)


def test_the_official_reader_opens_it(loaded: LoadedModel, tmp_path: Path):
    official = pytest.importorskip("safetensors")
    export(loaded, tmp_path / "a.safetensors")
    with official.safe_open(tmp_path / "a.safetensors", "numpy") as opened:
        metadata = opened.metadata()
        assert (
            opened.get_tensor("linear.bias").tolist() == parameters(loaded)["linear.b_y"].tolist()
        )
    characters = json.loads(metadata["vocabulary"])
    assert [ord(c) for c in characters] == loaded.vocabulary.code_points.tolist()
    assert json.loads(metadata["config"])["model"]["hidden_size"] == 23


@pytest.mark.parametrize(("cell", "embedding_size"), [("lstm", 0), ("lstm", 7), *OTHERS])
def test_the_module_that_is_written_gives_the_same_logits(
    cell: str, embedding_size: int, tmp_path: Path
):
    """Of the whole text, and in two pieces with the state carried."""
    torch = torch_on_one_thread()
    loaded = other_cell(cell, embedding_size)
    export(loaded, tmp_path / "my.pt")
    written: dict[str, Any] = {}
    exec((tmp_path / "my.py").read_text(encoding="ascii"), written)
    model = written["load"](tmp_path / "my.pt")
    ids = real_ids(loaded)
    assert [written["CHARACTERS"].index(c) for c in TEXT[:T]] == ids[:, 0].tolist()
    theirs = torch.from_numpy(ids)
    with torch.no_grad():
        whole, _ = model(theirs)
        first, state = model(theirs[:300])
        second, _ = model(theirs[300:], state)
    ours = our_logits(loaded.model, ids)
    assert_alike(whole.numpy(), ours)
    assert_alike(torch.cat([first, second]).numpy(), ours)


# The layout, by its definition


def test_every_number_has_its_place(plain: LoadedModel, tmp_path: Path):
    export(plain, tmp_path / "a.safetensors")
    arrays, _ = read_tensors(tmp_path / "a.safetensors")
    ours = parameters(plain)
    H, V = 23, plain.vocabulary.size
    for k, D in ((0, V), (1, H)):
        W_x, W_h, b = (ours[f"lstm.{k}.{name}"] for name in ("W_x", "W_h", "b"))
        for row, gate in enumerate("ifgo"):
            at = "oifg".index(gate)
            for unit in (0, 7, H - 1):
                place = row * H + unit
                weight = arrays[f"lstm.weight_ih_l{k}"][place]
                assert weight.tolist() == [W_x[at, d, unit] for d in range(D)]
                weight = arrays[f"lstm.weight_hh_l{k}"][place]
                assert weight.tolist() == [W_h[at, d, unit] for d in range(H)]
                assert arrays[f"lstm.bias_ih_l{k}"][place] == b[at, unit]
        assert not arrays[f"lstm.bias_hh_l{k}"].any()
    np.testing.assert_array_equal(arrays["linear.weight"].T, ours["linear.W_y"])


# ONNX


def test_onnxruntime_gives_the_same_logits(loaded: LoadedModel, tmp_path: Path):
    assert_onnx_alike(loaded, tmp_path)


@pytest.mark.parametrize(("cell", "embedding_size"), OTHERS)
def test_onnxruntime_gives_the_same_logits_for_other_cells(
    cell: str, embedding_size: int, tmp_path: Path
):
    assert_onnx_alike(other_cell(cell, embedding_size), tmp_path)


def assert_onnx_alike(loaded: LoadedModel, folder: Path) -> None:
    """Of the whole text, and in pieces with the state carried."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    export(loaded, folder / "a.onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(folder / "a.onnx", options, ["CPUExecutionProvider"])
    ids = real_ids(loaded)
    shape = loaded.model.shape
    h = c = np.zeros((shape.layers, B, shape.hidden_size), np.float32)
    ours = our_logits(loaded.model, ids)
    whole, _, _ = session.run(None, {"ids": ids, "h0": h, "c0": c})
    assert_alike(whole, ours)

    pieces = []
    for piece in (ids[:1], ids[1:400], ids[400:]):
        logits, h, c = session.run(None, {"ids": piece, "h0": h, "c0": c})
        pieces.append(logits)
    assert_alike(np.concatenate(pieces), ours)

    metadata = session.get_modelmeta().custom_metadata_map
    assert len(json.loads(metadata["vocabulary"])) == shape.vocabulary_size


# NumPy


def test_npz_holds_our_arrays_and_what_they_mean(loaded: LoadedModel, tmp_path: Path):
    export(loaded, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as opened:
        found = dict(opened)
    config = json.loads(str(found.pop("config")))
    assert config["model"]["hidden_size"] == 23
    np.testing.assert_array_equal(found.pop("vocabulary"), loaded.vocabulary.code_points)
    ours = parameters(loaded)
    assert found.keys() == ours.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, ours[name], strict=True)


def test_npz_of_a_list_says_which_rows_are_labels(tmp_path: Path):
    text, settings = "ham\tsea\nspam\tgold\n" * 12, {"data.items": "lines", "data.labels": True}
    train(tiny_config(tmp_path, text, **settings), tmp_path / "run")
    listed = load_model(tmp_path / "run")
    export(listed, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as opened:
        assert json.loads(str(opened["specials"])) == ["label:ham", "label:spam"]
        assert json.loads(str(opened["label_counts"])) == list(listed.label_counts)


# There and back


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("embedding_size", [0, 4])
def test_what_was_exported_comes_back_bit_for_bit(tmp_path: Path, cell: str, embedding_size: int):
    settings = {"model.embedding_size": embedding_size, "training.steps": 3} | settings_of(cell)
    loaded = trained(tmp_path, **settings, **{"model.norm_epsilon": 1e-4})
    export(loaded, tmp_path / "a.safetensors")
    write_checkpoint(tmp_path / "back.ckpt", import_checkpoint(tmp_path / "a.safetensors"))
    back = load_model(tmp_path / "back.ckpt")
    assert back.vocabulary == loaded.vocabulary
    assert back.config.model == loaded.config.model
    assert back.model.shape == loaded.model.shape
    np.testing.assert_array_equal(back.model.values, loaded.model.values, strict=True)
    assert back.progress.step == 0


def test_bytes_and_strange_characters_come_back(tmp_path: Path):
    for number, (text, unit) in enumerate(
        [("añ\x00\u202e😀 b\n" * 40, "characters"), ("añ😀\n" * 40, "bytes")]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        settings = {"data.unit": unit, "training.steps": 1, "data.validation_fraction": 0}
        train(tiny_config(folder, text, **settings), folder / "run")
        loaded = load_model(folder / "run")
        export(loaded, folder / "a.safetensors")
        write_checkpoint(folder / "back", import_checkpoint(folder / "a.safetensors"))
        back = load_model(folder / "back")
        assert back.vocabulary == loaded.vocabulary
        np.testing.assert_array_equal(back.model.values, loaded.model.values)


def test_training_settings_do_not_come_along(plain: LoadedModel, tmp_path: Path):
    """A batch size in a hostile file would decide how much memory an import takes."""
    export(plain, tmp_path / "a.safetensors")
    checkpoint = import_checkpoint(tmp_path / "a.safetensors")
    assert plain.config.training.batch_size == 5
    usual = sizes(TYPICAL).batch_size
    assert usual != 5
    assert checkpoint.config.training.batch_size == usual
    assert checkpoint.states.shape == (2, 2, usual, 23)


def test_the_same_model_gives_the_same_bytes_and_no_folders(plain: LoadedModel, tmp_path: Path):
    for suffix in (".safetensors", ".npz"):
        export(plain, tmp_path / f"a{suffix}")
        export(plain, tmp_path / f"b{suffix}")
        content = (tmp_path / f"a{suffix}").read_bytes()
        assert content == (tmp_path / f"b{suffix}").read_bytes()
        assert str(plain.path.parents[1]).encode() not in content
        assert "text.txt" in content.decode("latin-1").replace("\0", "")


def test_an_imported_checkpoint_is_an_ordinary_one(plain: LoadedModel, tmp_path: Path):
    export(plain, tmp_path / "a.safetensors")
    write_checkpoint(tmp_path / "back.ckpt", import_checkpoint(tmp_path / "a.safetensors"))
    read_checkpoint(tmp_path / "back.ckpt")
    config = replace(plain.config, init_from=str(tmp_path / "back.ckpt"))
    train(config, tmp_path / "tuned")
    assert load_model(tmp_path / "tuned").progress.step == 300


# The chapter


@pytest.mark.parametrize(
    ("heading", "packages"),
    [("PyTorch", ["torch", "safetensors"]), ("ONNX", ["onnx", "onnxruntime"]), ("NumPy", [])],
)
def test_the_programs_of_the_chapter(
    plain: LoadedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    heading: str,
    packages: list[str],
):
    """Each reads "the" and ends with the logits of what follows."""
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    for suffix in ("safetensors", "npz", *(["onnx"] if heading == "ONNX" else [])):
        export(plain, Path(f"model.{suffix}"))
    chapter = (ROOT / "docs" / "interchange.md").read_text()
    section = chapter.partition(f"\n## {heading}\n")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "example"}
    exec(code, names)
    logits = names["logits"]
    if heading == "PyTorch":
        logits = logits.detach().numpy()
    ids = plain.vocabulary.encode("the").astype(np.intp)[:, np.newaxis]
    expected = our_logits(plain.model, ids)[-1, 0]
    last = logits if logits.ndim == 1 else logits[-1, 0]
    assert_alike(last, expected)


# What cannot be written


@pytest.mark.parametrize(("form", "package"), [("torch", "torch"), ("onnx", "onnx")])
def test_a_missing_package_is_named(
    plain: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, package: str
):
    def fail(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(exporting, "import_module", fail)
    with pytest.raises(ConfigError, match=f"pip install {package}"):
        export(plain, tmp_path / "a", form)


def test_the_format_is_known_by_the_name(plain: LoadedModel, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"'a\.bin': which format\?"):
        export(plain, tmp_path / "a.bin")
    assert export(plain, tmp_path / "a.npz") == "npz"
    assert export(plain, tmp_path / "b.npz", "safetensors") == "safetensors"
    read_tensors(tmp_path / "b.npz")


def test_the_command_offers_what_there_is():
    assert tuple(exporting.FORMATS) == OFFERED
    assert set(exporting.SUFFIXES.values()) == set(OFFERED)


def test_a_model_that_is_not_finite_is_not_written(plain: LoadedModel, tmp_path: Path):
    model = CharLM(plain.model.shape)
    model.values[3] = np.nan
    with pytest.raises(DivergedError):
        export(replace(plain, model=model), tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


# What cannot be read


def foreign(V: int = 5, D: int = 3, H: int = 4, layers: int = 2) -> dict[str, np.ndarray]:
    """An embedding and two layers, as PyTorch would save them."""
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (V, D)}
    for k in range(layers):
        shapes[f"lstm.weight_ih_l{k}"] = (4 * H, H if k else D)
        shapes[f"lstm.weight_hh_l{k}"] = (4 * H, H)
        shapes[f"lstm.bias_ih_l{k}"] = shapes[f"lstm.bias_hh_l{k}"] = (4 * H,)
    shapes |= {"linear.weight": (V, H), "linear.bias": (V,)}
    rng = np.random.default_rng(3)
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


LETTERS = vocabulary_of("edcba")


def test_characters_in_another_order(tmp_path: Path):
    arrays = foreign()
    path = write(tmp_path / "a.safetensors", arrays, {})
    ours = import_checkpoint(path, LETTERS)
    assert ours.vocabulary.decode(np.arange(5)) == "abcde"
    np.testing.assert_array_equal(ours.parameters["embedding.E"], arrays["embedding.weight"][::-1])
    np.testing.assert_array_equal(ours.parameters["linear.b_y"], arrays["linear.bias"][::-1])
    np.testing.assert_array_equal(ours.parameters["linear.W_y"], arrays["linear.weight"].T[:, ::-1])


def test_two_biases_become_one(tmp_path: Path):
    arrays = foreign()
    path = write(tmp_path / "a.safetensors", arrays, {})
    b = import_checkpoint(path, LETTERS).parameters["lstm.1.b"]
    expected = arrays["lstm.bias_ih_l1"] + arrays["lstm.bias_hh_l1"]
    np.testing.assert_array_equal(b["oifg".index("g")], expected[8:12])
    np.testing.assert_array_equal(b["oifg".index("o")], expected[12:16])


def test_one_hot_characters_in_another_order(tmp_path: Path):
    arrays = foreign(D=5)
    del arrays["embedding.weight"]
    W_x = import_checkpoint(write(tmp_path / "a", arrays, {}), LETTERS).parameters["lstm.0.W_x"]
    np.testing.assert_array_equal(W_x[0], arrays["lstm.weight_ih_l0"][12:16, ::-1].T)


def _without(name: str) -> Any:
    return lambda arrays: arrays.pop(name)


def _reshaped(name: str, *shape: int) -> Any:
    return lambda arrays: arrays.update({name: np.ones(shape, np.float32)})


DEFECTS = {
    "no LSTM": (lambda arrays: [arrays.pop(n) for n in list(arrays) if "lstm" in n], "one LSTM"),
    "two LSTMs": (_reshaped("other.weight_ih_l0", 4, 4), "one LSTM"),
    "no linear layer": (_without("linear.bias"), "one linear layer"),
    "two linear layers": (_reshaped("head.bias", 5), "one linear layer"),
    "two embeddings": (_reshaped("more.weight", 5, 3), "unexpected array"),
    "one bias only": (_without("lstm.bias_hh_l1"), "lstm.bias_hh_l1' is missing"),
    "no second layer": (_without("lstm.weight_hh_l1"), "lstm.weight_hh_l1' is missing"),
    "both directions": (_reshaped("lstm.weight_ih_l0_reverse", 16, 3), "is bidirectional"),
    "projection": (_reshaped("lstm.weight_hr_l0", 4, 4), "has projections"),
    "unknown in an LSTM": (_reshaped("lstm.weight_xy_l0", 4, 4), "unexpected array"),
    "wrong width": (_reshaped("lstm.weight_ih_l1", 16, 5), "expected the shape (16, 4)"),
    "no rank": (_reshaped("lstm.weight_ih_l0"), "expected two axes, found 0"),
    "no rows": (_reshaped("lstm.weight_ih_l0", 0, 3), "expected the shape"),
    "wrong scores": (_reshaped("linear.weight", 4, 5), "expected the shape (5, 4)"),
    "no scores": (_reshaped("linear.bias", 0), "expected the shape"),
    "other numbers": (
        lambda arrays: arrays.update({"linear.bias": np.ones(5)}),
        "float32, but the model float64",
    ),
    "whole numbers": (
        lambda arrays: arrays.update({n: a.astype(np.uint8) for n, a in arrays.items()}),
        "model.dtype",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_models_that_are_none_of_ours(tmp_path: Path, name: str):
    arrays = foreign()
    change, reason = DEFECTS[name]
    change(arrays)
    assert reason in refusal(write(tmp_path / "a.safetensors", arrays, {}), LETTERS)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bidirectional": True}, "the LSTM of array 'rnn.weight_ih_l0_reverse' is bidirectional"),
        ({"proj_size": 3}, "has projections (proj_size)"),
        ({"bias": False}, "'rnn.bias_ih_l0' is missing"),
    ],
)
def test_lstms_of_pytorch_that_are_none_of_ours(
    tmp_path: Path, options: dict[str, Any], reason: str
):
    torch = torch_on_one_thread()
    parts = {"encoder": torch.nn.Embedding(5, 3), "rnn": torch.nn.LSTM(3, 4, 2, **options)}
    parts["decoder"] = torch.nn.Linear(8 if "bidirectional" in options else 4, 5)
    state = torch.nn.ModuleDict(parts).state_dict()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    assert reason in refusal(write(tmp_path / "a.safetensors", arrays, {}), LETTERS)


@pytest.mark.parametrize(
    ("characters", "reason"),
    [
        ("abc", "the model knows 5 characters, the vocabulary has 3"),
        ("abcdea", "'a' occurs twice"),
        (["a", "b", "<unk>"], "entry 2 is '<unk>', not one character"),
        (["a", 7], "entry 1 is 7"),
        ({"a": 1}, "expected a JSON text or list"),
        ([], "expected a JSON text or list"),
        ("a\ud800", "surrogates"),
    ],
)
def test_vocabularies_that_do_not_fit(tmp_path: Path, characters: Any, reason: str):
    path = write(tmp_path / "a.safetensors", foreign(), {})
    with pytest.raises(FileError, match=re.escape(reason)):
        import_checkpoint(path, vocabulary_of(characters))


def test_without_a_vocabulary_the_numbers_mean_nothing(tmp_path: Path):
    path = write(tmp_path / "a.safetensors", foreign(), {"format": "pt"})
    assert "give --vocabulary, --vocabulary-from or --bytes" in refusal(path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("config", None, "has no config"),
        ("config", "{", "no valid JSON"),
        ("config", "[" * 10_000, "no valid JSON"),
        ("config", "7", "expected settings"),
        ("config", '{"model": {"layers": 0}}', "layers"),
        ("vocabulary", None, "has no vocabulary"),
        ("vocabulary", '"ab"', "the vocabulary has 2"),
        ("vocabulary", "7", "expected a JSON text"),
        ("unit", "bytes", "its configuration is for characters, its vocabulary of bytes"),
    ],
)
def test_descriptions_that_are_wrong(
    plain: LoadedModel, tmp_path: Path, key: str, value: str | None, reason: str
):
    export(plain, tmp_path / "a.safetensors")
    arrays, texts = read_tensors(tmp_path / "a.safetensors")
    texts.pop(key) if value is None else texts.update({key: value})
    assert reason in refusal(write(tmp_path / "b.safetensors", arrays, texts))


@pytest.mark.parametrize("cell", ["simple", "layer-norm"])
def test_arrays_that_the_description_does_not_mean(plain: LoadedModel, tmp_path: Path, cell: str):
    export(plain, tmp_path / "a.safetensors")
    arrays, texts = read_tensors(tmp_path / "a.safetensors")
    texts["config"] = texts["config"].replace('"cell": "lstm"', f'"cell": "{cell}"')
    assert "characters" in refusal(write(tmp_path / "b.safetensors", arrays, texts))


def test_files_that_are_something_else(plain: LoadedModel, tmp_path: Path):
    assert "is a checkpoint of charlstm already" in refusal(plain.path)
    for suffix, reason in ((".npz", "zip archive"), (".txt", "no safetensors file")):
        path = tmp_path / f"a{suffix}"
        export(plain, path, "npz") if suffix == ".npz" else path.write_text(TEXT)
        assert reason in refusal(path)
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]), allow_pickle=True)
    (tmp_path / "pickled").write_bytes(buffer.getvalue()[128:])
    assert "pickle" in refusal(tmp_path / "pickled")
    with pytest.raises(FileError):
        read_sealed(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "empty"),
        (lambda data: data[:5], "no safetensors file"),
        (lambda data: data[:-1], "offsets"),
        (lambda data: data + b"\0", "belong to no array"),
        (lambda data: b"\xff" * 7 + data[7:], "header of"),
        (lambda data: (2**19).to_bytes(8, "little") + data[8:], "cut off"),
        (lambda data: data.replace(b'"F32"', b'"BF16"'[:5] + b" ", 1), "malformed"),
        (lambda data: data.replace(b'"F32"', b'"F16"', 1), "type F16"),
        (lambda data: data.replace(b'"dtype"', b'"dtypo"', 1), "malformed"),
        (lambda data: data[:-4] + b"\0\0\xc0\x7f", "NaN"),
    ],
)
def test_damaged_files(tmp_path: Path, change: Any, reason: str):
    data = write(tmp_path / "a.safetensors", foreign(), {}).read_bytes()
    (tmp_path / "b.safetensors").write_bytes(change(data))
    assert reason in refusal(tmp_path / "b.safetensors", LETTERS)


def test_entries_may_stand_in_any_order(tmp_path: Path):
    """Other writers sort them by name and not by place."""
    data = write(tmp_path / "a.safetensors", foreign(), {}).read_bytes()
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    header = json.dumps(dict(reversed(entries.items()))).encode()
    shuffled = len(header).to_bytes(8, "little") + header + data[8 + length :]
    (tmp_path / "b.safetensors").write_bytes(shuffled)
    given = import_checkpoint(tmp_path / "a.safetensors", LETTERS)
    same = import_checkpoint(tmp_path / "b.safetensors", LETTERS)
    for name, array in given.parameters.items():
        np.testing.assert_array_equal(same.parameters[name], array)


def test_no_bit_of_a_header_crashes_the_reader(tmp_path: Path, torture: bool):
    data = write(tmp_path / "a.safetensors", foreign(H=1, D=1, layers=1), {"a": "b"}).read_bytes()
    length = int.from_bytes(data[:8], "little")
    path = tmp_path / "b.safetensors"
    for position in range(0, 8 + length, 1 if torture else 7):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            with suppress(FileError):  # and nothing else
                import_checkpoint(path, LETTERS)


def test_biases_that_are_finite_only_one_by_one(tmp_path: Path):
    arrays = foreign()
    for name in ("lstm.bias_ih_l1", "lstm.bias_hh_l1"):
        arrays[name][...] = 3e38
    path = write(tmp_path / "a.safetensors", arrays, {})
    with pytest.raises(FileError, match=r"lstm\.1\.b is the sum of two arrays, and too large"):
        import_checkpoint(path, LETTERS)
