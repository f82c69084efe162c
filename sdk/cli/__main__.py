"""``python -m sdk.cli``, where the command is not installed."""

import sys

from sdk.cli import main

if __name__ == "__main__":
    sys.exit(main())
