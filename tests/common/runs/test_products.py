"""What a run collects of its trainings."""

from common.runs.cells import Cell
from common.runs.products import keep_complete


def make_cell(row: str, seed: int, fold: int) -> Cell:
    settings = {"row": row, "protocol": "leakfree", "seed": seed, "fold": fold}
    return Cell(f"{row}-{seed}-{fold}", "module:function", settings)


def test_a_seed_that_lacks_a_fold_is_no_result():
    planned = [make_cell(row, seed, fold) for row in "ab" for seed in (0, 1) for fold in (0, 1)]
    finished = [cell for cell in planned if cell.key not in ("a-0-1", "b-1-0", "b-1-1")]
    assert [cell.key for cell in keep_complete(planned, finished)] == ["a-1-0", "a-1-1", "b-0-0", "b-0-1"]
