"""An accepted run goes to results/: without synthetic data, uncommitted code, missing files or pictures of private data."""

import shutil
from pathlib import Path

from common.errors import UsageError
from common.files import replace_folder
from common.records.results import check_predictions_file, find_figures, read_results, write_results

PUBLISHED_FILES = ("results.json", "predictions.csv.gz", "history.csv.gz", "environment.txt", "table.md")


def publish(run: Path, results_folder: Path) -> None:
    """Replace `results_folder` by the accepted content of a run: PUBLISHED_FILES and figures/*.png.

    Figures that show pictures of a data set that may not be passed on (`private`) are left out.

    Raises UsageError if the run used synthetic data, came from uncommitted code, lacks one of the files, or holds the
    predictions of another command.
    """
    run, results_folder = Path(run), Path(results_folder)
    results = read_results(run / "results.json")
    if results.synthetic:
        names = ", ".join(dataset.dataset for dataset in results.datasets if dataset.synthetic)
        raise UsageError(f"{run}: not published: synthetic data ({names}); run it on real data")
    if results.git.commit is None:
        raise UsageError(f"{run}: not published: the commit of the code is unknown; run it from a git checkout")
    if results.git.dirty or any(command.dirty for command in results.extra.commands):
        raise UsageError(f"{run}: not published: uncommitted changes when it ran; commit, then run again")
    if any(dataset.private for dataset in results.datasets):
        kept = [entry for entry in results.extra.figures if not entry.shows_cases]
        results = results.model_copy(update={"extra": results.extra.model_copy(update={"figures": kept})})
    check_predictions_file(run, results)
    figures = find_figures(run, results)
    missing = [str(path.relative_to(run)) for path in [*(run / name for name in PUBLISHED_FILES), *figures] if not path.is_file()]
    if missing:
        raise UsageError(f"{run}: not published: missing {', '.join(missing)}; run the same command again to finish it")
    with replace_folder(results_folder) as fresh:
        (fresh / "figures").mkdir()
        for name in PUBLISHED_FILES:
            shutil.copyfile(run / name, fresh / name)
        write_results(fresh / "results.json", results)
        for path in figures:
            shutil.copyfile(path, fresh / "figures" / path.name)
