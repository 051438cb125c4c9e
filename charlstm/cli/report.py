"""``charlstm report``."""

from pathlib import Path

import click

from charlstm.cli.arguments import PathName


@click.command("report")
@click.argument("path", metavar="RUN", type=PathName(file_okay=False))
@click.option(
    "-o",
    "--out",
    metavar="PAGE.html",
    required=True,
    type=PathName(dir_okay=False),
    help="The page to write.",
)
def command(path: Path, out: Path) -> None:
    r"""Write a page about a run.

    Curves, samples, settings, vocabulary and environment in one HTML file, which needs neither
    scripts nor a network. Of a run that is still training, what there is so far.

    \b
    charlstm report runs/quickstart -o report.html
    """
    from charlstm.look.curves.run_page import page
    from charlstm.messages import show
    from charlstm.system.files import write_named

    write_named(out, [page(path).encode("utf-8", "backslashreplace")])
    click.echo(f"Written: {show(out)}", err=True)
