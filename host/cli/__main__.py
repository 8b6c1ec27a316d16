"""`python -m strop.host.cli`: the `strop` command where it is not installed."""

import sys

from strop.host.cli import main

if __name__ == "__main__":
    sys.exit(main())
