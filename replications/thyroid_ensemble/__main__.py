"""What can be done with this paper: `python -m replications.thyroid_ensemble`."""

import sys
from pathlib import Path

from common.report.commands import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).parent))
