"""`python -m lpca`."""

import sys

from lpca.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
