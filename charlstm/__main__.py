"""``python -m charlstm``, and the entry point of the ``charlstm`` command."""

import sys

from charlstm.system.signals import as_the_system_has_them

as_the_system_has_them()  # before the imports below, which take long enough to be interrupted

from charlstm.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
