"""Errors a user can cause: one line that says where, what was found and what to do.

Each class carries the exit code that the command line ends with. Lower layers raise them without
knowing about click; anything that is not a ``UserError`` is a bug and may end in a traceback.
"""


class UserError(Exception):
    """Something the user can put right. ``str(error)`` is one line; ``exit_code`` is documented."""

    exit_code = 2


class ConfigError(UserError):
    """The command line or the configuration is wrong."""

    exit_code = 2


class FileError(UserError):
    """A file cannot be used: damaged, foreign or newer checkpoint, unreadable corpus."""

    exit_code = 3


class UnreadableError(FileError):
    """A file could not be read at all, so nothing is known of what is in it."""


class DivergedError(UserError):
    """Loss or gradient is no longer finite; the last good state was kept."""

    exit_code = 4


class SystemRefusedError(UserError):
    """The operating system refused: disk full, permission, out of memory, a worker died."""

    exit_code = 5


class RunFolderTakenError(UserError):
    """The run folder is in use, or holds a run and neither resume nor overwrite was asked for."""

    exit_code = 6
