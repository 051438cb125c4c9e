"""``charlstm config``."""

from pathlib import Path

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.completion import complete_setting
from charlstm.config import recipes
from charlstm.config.recipes import RECIPES
from charlstm.config.writing import default_config_text, dump_config
from charlstm.errors import ConfigError


@click.command("config")
@click.argument("path", metavar="[CONFIG", required=False, type=PathName())
@click.argument("overrides", metavar="[KEY=VALUE]...]", nargs=-1, shell_complete=complete_setting)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=PathName(),
    show_default="stdout",
    help="Write it there; a file that exists is not replaced.",
)
@click.option(
    "--recipe",
    type=click.Choice(RECIPES),
    show_default="none",
    help="Print this configuration of ours, instead of every setting.",
)
def command(
    path: Path | None, overrides: tuple[str, ...], *, output: Path | None, recipe: str | None
) -> None:
    r"""Print a configuration to start from.

    Every setting with its default and what it does. With CONFIG, that file's settings instead,
    checked, with KEY=VALUE applied and all defaults filled in.

    \b
    charlstm config -o my.yaml
    charlstm config --recipe shakespeare
    charlstm config configs/quickstart.yaml training.batch_size=20
    """
    if path is not None and "=" in str(path) and not path.exists():
        raise ConfigError(f"{path}: name a configuration file before KEY=VALUE")
    if path is not None and recipe is not None:
        raise click.UsageError("--recipe prints a file of ours as it is; leave out CONFIG.")
    from charlstm.config.reading import load_config

    if recipe is not None:
        text = recipes.recipe(recipe)
    else:
        text = default_config_text() if path is None else dump_config(load_config(path, overrides))
    if output is None:
        click.echo(text, nl=False)
        return
    from charlstm.system.files import write_named

    if output.exists():
        raise ConfigError(f"{output} exists and is not replaced; name another file, or remove it")
    write_named(output, [text.encode()])
