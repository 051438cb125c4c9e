"""``charlstm export``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.items import is_of_a_list
from charlstm.cli.paths import echo_path, refuse_to_replace

if TYPE_CHECKING:
    from charlstm.saved.checkpoint import LoadedModel

FORMATS = ("html", "safetensors", "torch", "onnx", "npz")
WEIGHTS = ("float16", "int8")
HEAVY = 64e6  # bytes: more than a telephone likes to open


@click.command("export")
@click.argument("path", metavar="CHECKPOINT", type=PathName())
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="FILE",
    type=PathName(),
    help="The file to write.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(FORMATS),
    show_default="by the end of FILE: .html, .safetensors, .pt, .onnx, .npz",
    help="For which program.",
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    show_default="float16",
    help="How html holds the numbers: in two bytes, or in one and a scale a row.",
)
@click.option(
    "--text",
    type=PathName(),
    metavar="TEXT",
    show_default="the validation part, if it is at hand",
    help="With html: say what rounding costs on this.",
)
def command(
    path: Path, *, out: Path, format_name: str | None, weights: str | None, text: Path | None
) -> None:
    r"""Write a model for other programs, or as a page that writes.

    CHECKPOINT is a file or a run folder, which means its best checkpoint. Prints FILE when done.

    \b
    html         a page that runs the model in any browser: one file, no network
    safetensors  PyTorch's names and layout; says which characters the numbers stand for
    torch        a state_dict of torch.save, and the module that reads it (needs the package torch)
    onnx         a graph for onnxruntime and others (needs the package onnx)
    npz          NumPy arrays under charlstm's own names

    \b
    charlstm export runs/my -o my.html
    charlstm export runs/my -o small.html --weights int8 --text notes.txt
    charlstm export runs/my -o my.safetensors
    charlstm export runs/my -o my.onnx
    """
    from charlstm.messages import show
    from charlstm.saved.checkpoint import load_model
    from charlstm.saved.interchange.exporting import export, format_of
    from charlstm.saved.interchange.torch_module import module_path
    from charlstm.system.sealed import looks_sealed

    name = format_name or format_of(out)
    if text is not None and name != "html":
        raise click.UsageError("--text goes with html, the only format that rounds.")
    loaded = load_model(path)
    if text is not None and is_of_a_list(loaded):
        raise click.UsageError("--text is for models of one text; of a list no cost is told.")
    refuse_to_replace(out, (loaded.path, *([text] if text else [])))
    if looks_sealed(out):
        raise click.UsageError(f"{show(out)} is a checkpoint of charlstm; name another file.")
    cost = cost_of_rounding(loaded, weights, text) if name == "html" else ""
    export(loaded, out, name, weights)
    beside = f"; {show(module_path(out))} reads it" if name == "torch" else ""
    step = f"step {loaded.progress.step:,}"
    click.echo(f"{show(loaded.path)}: {step}, as {name}{beside}{cost}", err=True)
    size = out.stat().st_size
    if name == "html" and size > HEAVY:
        click.echo(f"Note: {size / 1e6:.0f} MB; telephones may fail to open such a page", err=True)
    echo_path(out)


def cost_of_rounding(loaded: "LoadedModel", weights: str | None, text: Path | None) -> str:
    """What to say of it; nothing where there is no text to see it on."""
    from charlstm.look.rounding import losses_on_page
    from charlstm.messages import printable

    weights = weights or WEIGHTS[0]
    found = losses_on_page(loaded, weights, text)
    if found is None:
        return ""
    one = "byte" if loaded.vocabulary.unit == "bytes" else "char"
    return (
        f"\n{printable(found.text)}: {found.rounded:.4f} bits per {one} in {weights},"
        f" {found.exact:.4f} before"
    )
