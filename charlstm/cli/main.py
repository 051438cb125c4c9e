"""The ``charlstm`` command: the group of commands, and what happens when one of them fails."""

import os
import signal
import sys

import click

from charlstm import __version__
from charlstm.errors import SystemRefusedError, UserError

COMMANDS = ("train", "sample", "eval", "check", "trace", "info", "config")


class Commands(click.Group):
    """Commands in the order in which a newcomer meets them, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = __import__(f"charlstm.cli.{cmd_name}", fromlist=["command"])
        command: click.Command = module.command
        return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)
@click.version_option(__version__, "-V", "--version", message="charlstm %(version)s")
def commands() -> None:
    r"""Train and explore character-level LSTMs.

    \b
    charlstm train configs/quickstart.yaml            train; Ctrl-C saves and stops
    charlstm train configs/quickstart.yaml --resume   go on
    charlstm sample runs/quickstart                   write text like the corpus

    \b
    Exit codes: 0 done, 1 a bug, 2 command line or configuration, 3 a file cannot be used,
    4 training diverged, 5 the system refused, 6 the run folder is taken.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (see `charlstm.errors`)."""
    try:
        commands.main(args=arguments, prog_name="charlstm", standalone_mode=False)
    except UserError as error:
        click.echo(f"Error: {one_line(error)}", err=True)
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        die_by(signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except MemoryError:
        click.echo("Error: out of memory; make the model or the batch smaller.", err=True)
        return SystemRefusedError.exit_code
    return 0


def one_line(error: UserError) -> str:
    """The message with control characters made visible: file names and texts may hold any."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(error))


def die_by(number: signal.Signals) -> None:
    """End this process by a signal, as if it had not been caught: a shell loop then stops too."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
