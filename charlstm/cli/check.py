"""``charlstm check``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.completion import complete_setting
from charlstm.messages import json_text

if TYPE_CHECKING:
    from charlstm.look.gradients.gradcheck import Row, Sizes
    from charlstm.nn.model import Shape


@click.command("check")
@click.argument("path", metavar="CONFIG", type=PathName())
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=complete_setting)
@click.option("--by-gate", is_flag=True, help="One line per gate: W_ix, W_ih, b_i, ...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(path: Path, overrides: tuple[str, ...], *, by_gate: bool, as_json: bool) -> None:
    r"""Check the backward pass against differences of the loss.

    Builds a small float64 model with CONFIG's cell, input gate, layers, skips, embedding, dropout
    and forget bias, and compares every gradient it computes (of each parameter, of each layer's
    first state and of the embedded input) with central differences. The error is the largest
    difference relative to the largest entry. The text is not needed.

    \b
    charlstm check configs/quickstart.yaml
    charlstm check configs/quickstart.yaml model.cell=layer-norm model.layers=3 --by-gate

    Exit code 1 when an error is above 1e-6: then charlstm has a bug.
    """
    from charlstm.config.auto import TYPICAL, settled
    from charlstm.config.reading import load_config
    from charlstm.from_config import shape_of
    from charlstm.look.gradients.gradcheck import LIMIT, Sizes, check_model

    config = settled(load_config(path, overrides), TYPICAL)
    sizes = Sizes()
    shape = sizes.shrink(shape_of(config, sizes.vocabulary_size))
    rows = check_model(
        shape,
        dropout=config.model.dropout,
        recurrent_dropout=config.model.recurrent_dropout,
        seed=config.seed,
        sizes=sizes,
        gate_by_gate=by_gate,
    )
    worst = max(row.error for row in rows)
    ok = worst <= LIMIT
    if as_json:
        report = {
            "cell": shape.cell,
            "input_gate": shape.input_gate,
            "layers": shape.layers,
            "skips": shape.skips,
            "sizes": {**vars(sizes), "embedding_size": shape.embedding_size},
            "rows": [row._asdict() for row in rows],
            "worst": worst,
            "limit": LIMIT,
            "ok": ok,
        }
        click.echo(json_text(report))
    else:
        show_rows(shape, sizes, rows)
        click.echo(f"\nworst {worst:.1e}, allowed {LIMIT:.0e}: {'ok' if ok else 'WRONG'}")
    if not ok:
        raise click.exceptions.Exit(1)


def show_rows(shape: "Shape", sizes: "Sizes", rows: "Sequence[Row]") -> None:
    from charlstm.look.gradients.gradcheck import LIMIT

    cell = f"{shape.cell}, input gate {shape.input_gate}{', skips' if shape.skips else ''}"
    click.echo(
        f"{cell}, float64, shrunk: layers {shape.layers}, hidden_size "
        f"{shape.hidden_size}, embedding_size {shape.embedding_size}, {sizes.T} steps, "
        f"{sizes.B} sequences, {sizes.vocabulary_size} characters\n"
    )
    click.echo(f"{'':<22} {'shape':>9} {'largest':>11} {'error':>9}")
    for row in rows:
        size = "x".join(str(n) for n in row.shape)
        mark = "" if row.error <= LIMIT else "  WRONG"
        click.echo(f"{row.name:<22} {size:>9} {row.largest:>11.3e} {row.error:>9.1e}{mark}")
