"""The records of results.json, schema 1 (`results.schema.json`); a field that has its default is left out of the file."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.errors import UsageError
from common.files import hash_file, hide_folders, load_json, write_json_atomic
from common.records.bounds import MOST_ROWS, Count, Protocol, Seen, check_seeds, describe_fault, refuse_excess

SCHEMA = 1


class Record(BaseModel):
    """An immutable document with named, typed fields, read as attributes; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class OpenRecord(Record):
    """A record that takes further fields, whose names a package chooses; `further` lists them."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    @property
    def further(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Git(Record):
    """State of the code, and whether changes were uncommitted; None outside a checkout."""

    commit: str | None
    dirty: bool | None


class Environment(OpenRecord):
    """What the trainings computed with, but for those that name theirs; further: versions of packages, None: not installed."""

    python: str
    backend: str | None  # tensorflow, jax; None: nothing that needed one was trained
    device: str | None  # in words
    deterministic: bool


class Leak(Record):
    """Test cases that have a relative among the training cases: summed over the folds, once where all test the same ones."""

    test_cases: int
    same_patient: int
    same_pixels: int
    near_duplicate: int


class Split(Record):
    """How a data set was split under one protocol; counts of the first fold."""

    rule: str
    folds: int
    train: int
    validation: int
    test: int
    left_out: int  # cases on no side
    sha256: str  # of every case with its side in every fold
    leak: Leak


class DatasetEntry(OpenRecord):
    """A data set of the run; further: what its reader counted."""

    dataset: str
    name: str  # of the source
    note: str
    synthetic: bool  # phantoms
    cases: int
    patients: int | None  # None: unknown
    classes: dict[str, int]  # cases of each
    files_sha256: str | None
    unreadable: list[str]
    splits: dict[str, Split]  # by protocol
    substitute: bool = False  # other data than the paper's: a public substitute, or a user's own
    private: bool = False  # no picture of it is published
    public_ids: str = ""  # regular expression of the ids of patients and cases that are a public collection's
    unreadable_reasons: dict[str, int] = {}  # of a published result, instead of their list: how many for which reason
    patients_known: bool | None = None  # False: each picture counts as one patient
    stand_ins: str = ""  # what stands for patients where none are known, in words


class Weights(OpenRecord):
    """Initial weights; further: sha256 of files."""

    source: str


class Metric(Record):
    """A metric over the seeds, as a fraction; None where it is not defined or has no interval."""

    mean: float | None
    sd: float | None  # over the seeds; None with one
    low: float | None  # 95 % interval
    high: float | None
    by_seed: list[float | None]
    error: float | None = None  # standard error of the mean, patients and seeds together; above 0 at 0 and 1, too
    error_patients: float | None = None  # the part of the patients
    df: float | None = None  # degrees of freedom whose t quantile the interval takes with `error`
    method: str = ""  # how the interval was computed, "none" without one; docs/statistics.md
    note: str = ""


class RowResult(Record):
    """The metrics of one row of a table under one protocol."""

    table: str = ""
    row: str
    protocol: Protocol
    n: Count  # test cases
    patients: Count | None
    positives: Count  # cases of class 1
    seeds: list[int]
    below_majority: bool  # mean accuracy at or below that of always giving the most frequent class
    metrics: dict[str, Metric]
    tested_by_seed: list[Seen] = []  # cases, and those of class 1, of each seed; only where the seeds test different ones
    departures: list[str] = []  # settings that differ from the published ones

    @model_validator(mode="after")
    def _count_seeds(self) -> "RowResult":
        check_seeds(self.seeds, {"tested_by_seed": self.tested_by_seed or self.seeds}, self.metrics)
        return self


class JudgedClaim(Record):
    """A printed number beside ours, in the unit of the claim; None where there is none. See docs/verdicts.md."""

    table: str
    row: str
    metric: str
    where: str
    paper: float | None
    tolerance: float | None  # 95 % sampling half-width of the printed value
    ours: int | float | None
    low: int | float | None
    high: int | float | None
    difference: int | float | None = None  # ours - paper, where a verdict is due
    difference_low: float | None = None  # its 95 % interval
    difference_high: float | None = None
    margin: float | None = None  # a difference below it is taken for agreement
    patients_needed: int | None = None  # of our test set, that would tell; None with "cannot tell": no number would
    verdict: str
    note: str
    impossible: bool = False  # as printed, by the audit
    held: str = ""  # the metric of ours that it is held against, where columns are exchanged in print

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.row, self.metric


class Pair(Record):
    """Two rows on their common cases (see `comparisons.compare_rows`): row_a minus row_b, means over seeds_a and seeds_b."""

    protocol: Protocol
    row_a: str
    row_b: str
    seeds: list[int]  # of both rows; in older files alone compared
    n: int
    patients: int
    accuracy_a: float
    accuracy_b: float
    accuracy_difference: float
    low: float | None
    high: float | None
    only_a: int  # cases that only row_a has right
    only_b: int
    mcnemar_p: float | None
    mcnemar_p_holm: float | None
    auc_difference: float | None
    auc_low: float | None
    auc_high: float | None
    delong_p: float | None
    delong_p_holm: float | None
    accuracy_test: str = ""  # whose p stands in mcnemar_p
    auc_test: str = ""  # whose p stands in delong_p
    note: str = ""
    seeds_a: list[int] = []
    seeds_b: list[int] = []


class StatementCheck(Record):
    """A finding that the paper words, held against our numbers."""

    id: str
    protocol: Protocol
    verdict: str  # holds, does not hold, partly run, not run; phantoms, other data, off protocol: not checked
    detail: str


class Missing(Record):
    """A row that was not run."""

    table: str
    row: str
    reason: str


class Collapse(Record):
    """Seeds in which a row gave every case one and the same class."""

    row: str
    protocol: Protocol
    seeds: list[int]


class FigureEntry(Record):
    """A picture in figures/."""

    file: str
    title: str
    caption: str
    shows_cases: bool = False  # pictures of patients


class Command(Git):
    """A command that led to the run, in the order given."""

    command: str
    started: str  # ISO 8601 with zone


class Training(Record):
    """A finished cell."""

    key: str
    commit: str | None
    seconds: float
    threads: list[int]
    dirty: bool | None = None  # uncommitted code
    elsewhere: str | None = None  # device and library, in words, where not those of the run's environment


class OwnColumn(Record):
    name: str
    kind: str  # text, number, verdict, note
    group: str
    printed: bool = False  # it holds numbers of the paper, or what follows from them


class OwnTable(Record):
    """A table that a package hands over ready, cells as text."""

    title: str
    columns: list[OwnColumn]
    rows: list[list[str]]
    note: str
    printed_note: str = ""  # what is to be said of its printed columns


class Extra(Record):
    """What stands beside rows and claims."""

    comparisons: list[Pair]
    statements: list[StatementCheck]
    not_run: list[Missing]
    collapsed: list[Collapse]
    figures: list[FigureEntry]
    commands: list[Command]
    cells: list[Training]
    tables: list[OwnTable] = []
    finding: str = ""  # of the package's own, one sentence computed from the numbers
    hardly_trained: list[str] = []  # rows whose leak-free networks were stopped in their first epochs


class Results(Record):
    """The content of results.json."""

    version: int = Field(validation_alias="schema", serialization_alias="schema", json_schema_extra={"const": SCHEMA})
    paper: str  # name of the package
    preset: Annotated[str, Field(pattern="^(smoke|demo|paper)$")]
    protocol: Annotated[str, Field(pattern="^(paper|leakfree|both)$")]
    overrides: dict[str, str]  # settings given on the command line
    on_protocol: bool
    command: str
    git: Git
    started: str  # ISO 8601 with zone
    seconds: float  # of all trainings
    environment: Environment
    datasets: list[DatasetEntry]
    weights: Weights
    config: dict[str, Any]
    selection: dict[str, str]  # protocol -> rule by which the scored epoch or model was chosen
    seeds: list[int]
    rows: Annotated[list[RowResult], Field(max_length=MOST_ROWS)]
    claims: list[JudgedClaim]
    extra: Extra
    predictions_sha256: str | None = None  # of the predictions.csv.gz that everything follows from
    evaluated: Git | None = None  # the code that judged the predictions, where it is not that of the run

    @property
    def synthetic(self) -> bool:
        """Whether any data set of the run consists of phantoms."""
        return any(dataset.synthetic for dataset in self.datasets)


def parse_results(content: Any, place: str) -> Results:
    """Results from the JSON form. Raises UsageError that names the place, the entry and the fault."""
    refuse_excess(content, place)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UsageError(f"{place}: not a results file of schema {SCHEMA}; run the replication again")
    try:
        return Results.model_validate(content, strict=True)
    except ValidationError as error:
        raise UsageError(f"{place}: {describe_fault(error)}; run the replication again") from None


def read_results(path: Path) -> Results:
    """Read a results.json. Raises UsageError if it is missing, damaged, or of another schema."""
    try:
        content = load_json(Path(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); run the replication first") from None
    except ValueError as error:
        raise UsageError(f"{path}: damaged JSON ({error}); run the replication again") from None
    return parse_results(content, str(path))


def check_predictions_file(folder: Path, results: Results) -> None:
    """Raise UsageError if folder/predictions.csv.gz is not the table that the results were computed from."""
    path, wanted = Path(folder) / "predictions.csv.gz", results.predictions_sha256
    if wanted is not None and path.is_file() and hash_file(path) != wanted:
        raise UsageError(f"{path}: not the predictions that results.json was computed from; run the same command again")


def to_json(results: Results) -> dict[str, Any]:
    """The JSON form, without the fields that have their default."""
    return results.model_dump(by_alias=True, exclude_defaults=True)


def write_results(path: Path, results: Results) -> None:
    """Write results.json, whole or not at all: keys sorted, floats to 6 significant digits, NaN as null; folders hidden."""
    write_json_atomic(path, hide_folders(to_json(results)))


def find_figures(folder: Path, results: Results) -> list[Path]:
    """Paths of the figures that a result lists, in order; they need not exist. UsageError for a name with a folder in it."""
    if foreign := [figure.file for figure in results.extra.figures if Path(figure.file).name != figure.file]:
        raise UsageError(f"{folder}/results.json: figure {foreign[0]!r} must be a plain file name inside figures/")
    return [Path(folder) / "figures" / figure.file for figure in results.extra.figures]
