"""``python -m charlstm``, and the entry point of the ``charlstm`` command."""

import sys

from charlstm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
