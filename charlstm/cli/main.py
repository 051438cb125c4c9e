"""The ``charlstm`` command: the group of commands, and what happens when one of them fails."""

import io
import keyword
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module

import click
from click.shell_completion import shell_complete

from charlstm import __version__
from charlstm.cli import completion
from charlstm.config.schema import SETTINGS
from charlstm.config.usual_names import usual
from charlstm.errors import SystemRefusedError, UserError
from charlstm.messages import nearest, printable, shorten
from charlstm.nn.blas_threads import blas_environment
from charlstm.system.signals import end_by

NAME = "charlstm"
COMMANDS = (
    "demo",
    "train",
    "sample",
    "next",
    "eval",
    "adapt",
    "originality",
    "classify",
    "compare",
    "plot",
    "report",
    "look",
    "check",
    "trace",
    "info",
    "config",
    "export",
    "import",
    "completion",
)
MANY_CHARACTERS_AT_ONCE = ("demo", "train", "look")  # whose products are large enough for threads
READER_GONE = 128 + signal.SIGPIPE


class Commands(click.Group):
    """Commands in the order in which a newcomer meets them, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = cmd_name + "_" * keyword.iskeyword(cmd_name)
        command: click.Command = import_module(f"charlstm.cli.{module}").command
        return with_unwrapped_examples(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing and args[0][:1].isalnum():
            near = nearest(args[0], COMMANDS)
            advice = f" Did you mean {near!r}?" if near else ""
            raise click.UsageError(f"No such command {shorten(args[0])}.{advice}", ctx)
        return super().resolve_command(ctx, args)


def with_unwrapped_examples(command: click.Command) -> click.Command:
    r"""Turn the two letters \b of raw docstrings into the one that click's help looks for."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    return command


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "CHARLSTM",
        "show_default": True,
    },
)
@click.version_option(
    __version__,
    "-V",
    "--version",
    message=f"{NAME} %(version)s",
    allow_from_autoenv=False,  # CHARLSTM_VERSION is a likely name for a variable of a script
)
@click.pass_context
def commands(context: click.Context) -> None:
    r"""Train and explore character-level LSTMs.

    \b
    charlstm demo                       train on a text that ships with charlstm
    charlstm train notes.txt            train on yours; Ctrl-C saves and stops
    charlstm train runs/notes --resume  go on
    charlstm sample runs/notes          write text like it

    \b
    Exit codes: 0 done, 1 a bug, 2 command line or configuration, 3 a file cannot be used,
    4 training diverged, 5 the system refused, 6 the run folder is taken.

    \b
    An option can also be given by an environment variable: CHARLSTM_TRAIN_QUIET=1.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif context.invoked_subcommand not in MANY_CHARACTERS_AT_ONCE:
        os.environ.update(blas_environment(1))


with_unwrapped_examples(commands)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (see `charlstm.errors`)."""
    open_closed_streams()
    say_what_no_locale_can()
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:
        code = READER_GONE
    except KeyboardInterrupt:
        drop_output()
        end_by(signal.SIGINT)
        raise
    except Exception as error:
        code = explain(error)
    if code:
        drop_output()
    return code


def run(arguments: list[str]) -> int:
    """Parse and call. Click's own ``main`` would turn a closed pipe into exit code 1."""
    if completion.VARIABLE in os.environ:
        instruction = os.environ[completion.VARIABLE]
        return shell_complete(commands, {}, NAME, completion.VARIABLE, instruction)
    try:
        with commands.make_context(NAME, arguments) as context:
            commands.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return 0


def explain(error: Exception) -> int:
    """One line on stderr; a traceback for what is a bug. Returns the exit code."""
    if isinstance(error, UserError):
        return fail(str(error), error.exit_code)
    if isinstance(error, click.ClickException):
        message = " ".join(message_of(error).split())  # some list choices line by line
        return fail(message + where_to_look(error), error.exit_code)
    if isinstance(error, MemoryError):
        advice = "out of memory; make the model, the batch or the sequences smaller"
        return fail(advice, SystemRefusedError.exit_code)
    if isinstance(error, ImportError) and not (error.name or "").startswith(NAME):
        last = (str(error).strip().splitlines() or ["no reason given"])[-1]
        advice = f"a library cannot be loaded (out of memory, or damaged?): {last}"
        return fail(advice, SystemRefusedError.exit_code)
    if isinstance(error, OSError):
        what = "cannot write the output" if error.filename is None else str(error.filename)
        return fail(f"{what}: {error.strerror or error}", SystemRefusedError.exit_code)
    with suppress(OSError):
        traceback.print_exception(error)
    return fail("this is a bug in charlstm; please report it with the lines above", 1)


def fail(message: str, code: int) -> int:
    with suppress(OSError):  # stderr itself may be full or closed
        click.echo(f"Error: {printable(message)}", err=True)
    return code


def message_of(error: click.ClickException) -> str:
    """Of an option that the command lacks, in the same words by every version of click; and also
    what other programs would mean by it.
    """
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    meant = setting_or_option(error.option_name, error.ctx.command) if error.ctx else None
    close = [option for option in error.possibilities or () if option != "--help"]
    meant = meant or next(iter(close), None)
    advice = f" Did you mean {meant}?" if meant else ""
    return f"No such option '{error.option_name}'.{advice}"


def setting_or_option(name: str, command: click.Command) -> str | None:
    """``--temperature``; or, of a command that takes them, ``training.learning_rate=...``."""
    word = name.lstrip("-").replace("-", "_")
    meant = usual(word) or next((path for path in SETTINGS if path.endswith(f".{word}")), None)
    if meant in SETTINGS:
        takes_settings = any(param.name == "overrides" for param in command.params)
        return f"{meant}=..." if takes_settings else None
    known = {option for param in command.params for option in param.opts}
    return meant if meant in known else None


def where_to_look(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return ""
    return f" (See: {error.ctx.command_path} --help)"


def open_closed_streams() -> None:
    """A program started with ``>&-`` would use the next file it opens as its stdout.

    Then stdin is empty, nobody reads stderr, and writing to stdout fails, as the user must learn.
    """
    for number, (name, access) in enumerate(
        {"stdin": os.O_RDWR, "stdout": os.O_RDONLY, "stderr": os.O_RDWR}.items()
    ):
        if getattr(sys, name) is None:
            os.open(os.devnull, access)  # the lowest number that is free: this one
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def say_what_no_locale_can() -> None:
    r"""Where the terminal's encoding has no Cyrillic, tables have \u0436 in its place."""
    with suppress(AttributeError, ValueError):
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Forget what stdout still holds, or Python would try, fail and complain at its exit."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        return
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
