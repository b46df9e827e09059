"""The papers, and what can be done with each: `python -m replications`."""

import sys
from pathlib import Path

from common.report.commands import main_of_all

if __name__ == "__main__":
    sys.exit(main_of_all(Path(__file__).parent))
