"""Contact sheets: a look at all pictures shows what no rule does."""

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from common.errors import UsageError
from common.figures.grids import plot_image_grid

COLUMNS, SIDE = 16, 96  # pictures in a row, pixels of a picture
MOST = 480  # pictures of a sheet: more are drawn on further sheets


def check_sheet(path: Path) -> None:
    """Make the folder of a sheet. UsageError for another ending than .png, and where nothing can be written."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"--sheet {path}: must be a file that ends in .png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            pass
    except OSError as error:
        raise UsageError(f"--sheet {path}: {error.strerror or error}") from None


def draw_sheet(pictures: np.ndarray, cases: pd.DataFrame, doubtful: Mapping[str, str], path: Path) -> list[Path]:
    """Sheets of pictures uint8 (n, side, side), doubtful ones first and marked by "?"; returns the files: FILE.png, FILE-2.png,
    ...

    They show the films themselves: keep them where these are kept. UsageError as `check_sheet`.
    """
    check_sheet(path)
    doubts = cases["case_id"].isin(doubtful).to_numpy()
    order = np.argsort(~doubts, kind="stable")
    written = []
    for number, start in enumerate(range(0, len(order), MOST), start=1):
        places = order[start : start + MOST]
        titles = [f"{'? ' if doubts[place] else ''}{cases['case_id'].iloc[place][-16:]}" for place in places]
        small = [cv2.resize(np.asarray(pictures[place]), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for place in places]
        figure = plot_image_grid(small, titles, columns=COLUMNS, side=0.9)
        written.append(path if number == 1 else path.with_name(f"{path.stem}-{number}.png"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that the font lacks
            figure.savefig(written[-1])
    print(f"contact sheets of {len(order)} films: {', '.join(map(str, written))}", file=sys.stderr)
    return written
