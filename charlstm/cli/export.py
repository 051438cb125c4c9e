"""``charlstm export``."""

from pathlib import Path

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.paths import echo_path

FORMATS = ("safetensors", "torch", "onnx", "npz")


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
    show_default="by the end of FILE: .safetensors, .pt, .onnx, .npz",
    help="For which program.",
)
def command(path: Path, *, out: Path, format_name: str | None) -> None:
    r"""Write a model for other programs.

    CHECKPOINT is a file or a run folder, which means its best checkpoint. Prints FILE when done.

    \b
    safetensors  PyTorch's names and layout; says which characters the numbers stand for
    torch        the same as a state_dict of torch.save (needs the package torch)
    onnx         a graph for onnxruntime and others (needs the package onnx)
    npz          NumPy arrays under charlstm's own names

    \b
    charlstm export runs/my -o my.safetensors
    charlstm export runs/my -o my.onnx
    """
    from charlstm.messages import show
    from charlstm.saved.checkpoint import load_model
    from charlstm.saved.interchange.exporting import export

    loaded = load_model(path)
    name = export(loaded, out, format_name)
    click.echo(f"{show(loaded.path)}: step {loaded.progress.step:,}, as {name}", err=True)
    echo_path(out)
