"""The source of a module that a state_dict of ours fits, for the user to read and to keep.

Where PyTorch has such layers, the recurrence is its ``torch.nn.LSTM``; others are written out.
Nothing is pickled: the weights are plain tensors, and this is text.
"""

from pathlib import Path
from string import Template

from charlstm.errors import ConfigError
from charlstm.messages import show
from charlstm.nn.model import Shape
from charlstm.pages.template import asset
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.interchange.description import characters_of
from charlstm.system.files import read_exactly, reading, write_named

CELLS = {"lstm": "plain.txt", "simple": "plain.txt", "layer-norm": "layer-norm.txt"}
"""Where the step of each cell is written out."""
SQUASHED = {"lstm": "torch.tanh(c)", "simple": "c", "layer-norm": "torch.tanh(c)"}
INPUT_GATES = {"free": "i", "capped": "torch.minimum(i, 1 - f)"}
SKIPS = {
    False: {"below": "H", "start": "", "joined": "x = torch.stack(outputs)", "top": "x"},
    True: {
        "below": "H + D",
        "start": "e, tops = x, []\n        ",
        "joined": "tops.append(torch.stack(outputs))\n"
        "            x = torch.cat((tops[-1], e), dim=-1)",
        "top": "torch.cat(tops, dim=-1)",
    },
}
"""Input of the layers above the first, and what the linear layer reads."""


def module_source(loaded: LoadedModel) -> str:
    """Python, in ASCII: the vocabulary is a literal, whatever is in it."""
    shape, vocabulary = loaded.model.shape, loaded.vocabulary
    V, E = shape.vocabulary_size, shape.embedding_size
    one_hot = f"functional.one_hot(ids, {V}).to(self.linear.weight.dtype)"
    return Template(_file("model.txt")).substitute(
        description=f"{shape.cell} {shape.layers} x {shape.hidden_size}, step"
        f" {loaded.progress.step:,} of its training",
        lstm=_file("lstm.txt").removesuffix("\n") if shape.is_standard else _written_out(shape),
        characters=ascii(characters_of(vocabulary)),
        unit=" (of each byte, U+0000 to U+00FF)" if vocabulary.unit == "bytes" else "",
        specials=_specials(loaded),
        embedding=f"        self.embedding = nn.Embedding({V}, {E})\n" if E else "",
        input="self.embedding(ids)" if E else one_hot,
        inputs=E or V,
        symbols=V,
        units=shape.hidden_size,
        top=shape.top_size,
        layers=shape.layers,
    )


def _written_out(shape: Shape) -> str:
    parts = {
        "forget_bias": shape.forget_bias,
        "epsilon": shape.norm_epsilon,
        "squashed": SQUASHED[shape.cell],
        "bounded": INPUT_GATES[shape.input_gate],
    } | SKIPS[shape.skips]
    source = _file(CELLS[shape.cell]) + _file("layers.txt")
    return Template(source).substitute(parts).removesuffix("\n")


def _specials(loaded: LoadedModel) -> str:
    names = loaded.vocabulary.specials
    if not names:
        return ""
    listed = ", ".join(ascii(name).replace("\\", "\\\\").replace('"', "'") for name in names)
    return f" After them come the ids of {listed}."


def _file(name: str) -> str:
    return asset("charlstm.saved.interchange", name)


def module_path(weights: Path) -> Path:
    return weights.with_suffix(".py")


def write_module(loaded: LoadedModel, weights: Path) -> None:
    """Beside ``weights``. Raises `ConfigError` rather than replace a file that it has not written,
    `SystemRefusedError` as files do.
    """
    path = module_path(weights)
    if path == weights:
        raise ConfigError(f"{show(path)}: the module that reads it has this name; take another end")
    source = module_source(loaded).encode("ascii")
    if path.exists() and not _is_ours(path, source):
        raise ConfigError(
            f"{show(path)} is a file that charlstm did not write, and the module that reads"
            f" {show(weights.name)} has that name; take another name"
        )
    write_named(path, [source])


def _is_ours(path: Path, source: bytes) -> bool:
    first = source.partition(b"\n")[0]
    with reading(path) as (stream, _):
        return bytes(read_exactly(stream, len(first))) == first
