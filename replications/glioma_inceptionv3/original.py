"""The validation accuracies behind the report's figure (sec. 4.3), as its repository publishes them."""

from pathlib import Path

import numpy as np
import pandas as pd

from common.data.csv_files import read_csv_table
from common.data.folder import list_entries
from common.errors import UsageError

FILE = "glioma_original_validation_curves.csv"
RUNS = 10


def read_original_curves(folder: Path | None) -> pd.DataFrame | None:
    """Validation accuracies of the report's ten runs, 0..1: columns run1 to run10, index the training step; None where the file
    is in none of the data folder's folders.

    Raises UsageError for a file that is no such table.
    """
    found = [] if folder is None else [path for place in (folder, *list_entries(folder)) if (path := place / FILE).is_file()]
    if not found:
        return None
    names = [f"run{number}" for number in range(1, RUNS + 1)]
    table = read_csv_table(found[0], {"index": int, **dict.fromkeys(names, float)})
    steps, values = table["index"].to_numpy(), table[names].to_numpy()
    if not len(table) or steps.min() < 0 or (np.diff(steps) <= 0).any():
        raise UsageError(f"{found[0]}: column index must hold rising training steps")
    if not (np.isfinite(values) & (values >= 0) & (values <= 1)).all():
        raise UsageError(f"{found[0]}: accuracies must lie between 0 and 1")
    return pd.DataFrame(values, columns=names, index=pd.Index(steps, name="step"))
