"""Which epoch early stopping chose: a network that was stopped in its first epochs says little about what its split leaks."""

from collections.abc import Mapping

import pandas as pd

from common.records.results import OwnColumn, OwnTable

EARLY = 0.1  # of the epochs that a training may take
NOTE = (
    "The epoch with the lowest cross-entropy on the validation cases is scored, and training ends {patience} epochs after it. "
    "Under the paper's protocol every training takes all of its epochs: the difference of the protocols holds this choice, too."
)


def tabulate_chosen(history: pd.DataFrame, most: Mapping[str, int], patience: int) -> list[OwnTable]:
    """The epochs that early stopping chose, a line a row; no table where nothing was stopped early.

    history: the table of `collect_history`, of trainings with one stage that has a validation loss. most: row -> epochs that a
    training may take; patience: epochs without a better loss after which it ended.

    >>> history = pd.DataFrame({"protocol": "leakfree", "row": "CNN", "seed": 0, "fold": -1, "epoch": [1, 2, 3]})
    >>> tabulate_chosen(history.assign(val_loss=[0.5, 0.3, 0.4]), {"CNN": 100}, patience=1)[0].rows
    [['CNN', '2', '3', '100']]
    """
    chosen = list_chosen(history)
    if chosen.empty:
        return []
    columns = [OwnColumn(name="row", kind="text", group="")]
    columns += [OwnColumn(name=name, kind="text", group="Leak-free, by seed") for name in ("epoch scored", "epochs trained")]
    columns.append(OwnColumn(name="at most", kind="number", group=""))
    lines = [
        [str(row), *(", ".join(map(str, of_row[name])) for name in ("epoch", "trained")), str(most[str(row)])]
        for row, of_row in chosen.groupby("row", sort=True)
    ]
    return [OwnTable(title="Epochs chosen", columns=columns, rows=lines, note=NOTE.format(patience=patience))]


def list_hardly_trained(history: pd.DataFrame, most: Mapping[str, int]) -> list[str]:
    """The rows of which every training was scored in the first tenth of its epochs.

    >>> history = pd.DataFrame({"protocol": "leakfree", "row": "CNN", "seed": 0, "fold": -1, "epoch": [1, 2, 3]})
    >>> history = history.assign(val_loss=[0.5, 0.3, 0.4])
    >>> list_hardly_trained(history, {"CNN": 100}), list_hardly_trained(history, {"CNN": 3})
    (['CNN'], [])
    """
    latest = {str(row): max(epochs) for row, epochs in list_chosen(history).groupby("row")["epoch"]}
    return [row for row, epoch in latest.items() if epoch <= EARLY * most[row]]


def list_chosen(history: pd.DataFrame) -> pd.DataFrame:
    """A line a training that was stopped early: row, seed, fold, epoch (that of the lowest validation loss, from 1), trained.

    >>> history = pd.DataFrame({"protocol": "leakfree", "row": "CNN", "seed": 0, "fold": -1, "epoch": [1, 2, 3]})
    >>> list_chosen(history.assign(val_loss=[0.5, 0.3, 0.3])).to_dict("list")
    {'row': ['CNN'], 'seed': [0], 'fold': [-1], 'epoch': [2], 'trained': [3]}
    """
    lines = []
    if "val_loss" in history:
        scored = history[(history["protocol"] == "leakfree") & history["val_loss"].notna()]
        for (row, seed, fold), training in scored.groupby(["row", "seed", "fold"], sort=True):
            best = int(training["val_loss"].to_numpy().argmin())  # the first of equals
            epoch = int(training["epoch"].to_numpy()[best])
            lines.append({"row": row, "seed": seed, "fold": fold, "epoch": epoch, "trained": len(training)})
    return pd.DataFrame(lines, columns=["row", "seed", "fold", "epoch", "trained"])
