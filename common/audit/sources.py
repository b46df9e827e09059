"""What the command line names: a paper's package, a paper.toml, results of our own, or a table in a file; and its audit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.audit.assumptions import OF_RESULTS, describe_assumptions
from common.audit.outcomes import Outcome
from common.audit.papers import audit_paper, audit_results
from common.audit.summary import summarise_paper, summarise_results
from common.audit.table_files import SUFFIXES, Grid, read_table_file
from common.errors import UsageError, keep_short
from common.records.claims import Claim
from common.records.paper import Headline, Paper, load_paper
from common.records.paper_entries import read_classes, read_fold_sizes
from common.records.printed_tables import BLANK, read_grid
from common.records.results import read_results


@dataclass(frozen=True)
class Audit:
    """One audit: of what, what it says in one sentence, and every outcome."""

    source: str  # the file, from here if it lies below
    title: str
    about: str  # authors and year of a paper; what a table was taken for
    summary: str
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()  # what was left out, and what was concluded
    paper: Paper | None = None  # None for results of our own

    @property
    def remarks(self) -> tuple[str, ...]:
        """What stands below the summary: the notes, and what is taken for granted (`describe_assumptions`)."""
        assumed = describe_assumptions(self.paper) if self.paper else OF_RESULTS if self.source.endswith(".json") else ""
        return (*self.notes, assumed) if assumed else self.notes


@dataclass(frozen=True)
class TableOptions:
    """What the command line says of a table in a file; the fields are those of `Claim`."""

    classes: dict[str, int] = field(default_factory=dict)
    positive: str = ""  # the positive class; "": the first one
    unit: str = ""
    average: str = ""
    folds: int = 0
    fold_sizes: tuple[int | tuple[int, ...], ...] = ()
    runs: int = 0
    stratified: bool = False


def find_source(name: str, replications: Path) -> Path:
    """The file that an argument means: a paper's package, a .toml, a results.json or its folder, or a table.

    replications: the folder of the papers' packages. Raises UsageError for a name that is none of these.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "results.json").touch()
    ...     find_source(folder, Path("replications")).name
    'results.json'
    """
    path = Path(name)
    candidates = [path / "results.json", path / "paper.toml"] if path.is_dir() else [path]
    candidates.append(replications / name / "paper.toml")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(found.parent.name for found in replications.glob("*/paper.toml")))
    raise UsageError(f"{name}: neither a file nor a paper; give a .toml, a table or a results.json, or one of {known}")


def is_table(path: Path) -> bool:
    """Whether the file is a table, by its ending.

    >>> is_table(Path("table4.CSV")), is_table(Path("paper.toml"))
    (True, False)
    """
    return path.suffix.lower() in (*SUFFIXES, ".xls")


def audit_source(path: Path, options: TableOptions) -> list[Audit]:
    """The audits of a file: one, or one for each table in it. Raises UsageError for a faulty file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.md"
    ...     _ = path.write_text("| model | Acc | AUC |\\n|---|---|---|\\n| CNN | 91.5 | 0.97 |")
    ...     (audit,) = audit_source(path, TableOptions(classes={"ill": 40, "healthy": 60}, folds=1, runs=1))
    >>> audit.summary
    '1 of the 2 printed numbers cannot be right as printed; 1 was not checked.'
    """
    with keep_short(path):
        return _audit(path, options)


def _audit(path: Path, options: TableOptions) -> list[Audit]:
    if is_table(path):
        return [_audit_table(grid, options) for grid in read_table_file(path)]
    source = show_path(path)
    if path.suffix == ".json":
        results = read_results(path)
        outcomes = tuple(audit_results(results))
        return [Audit(source, f"{results.paper}: our own results", "", summarise_results(outcomes), outcomes)]
    paper = load_paper(path)
    outcomes = audit_paper(paper)
    about = f"{paper.authors}, {paper.year}"
    return [Audit(source, paper.title, about, summarise_paper(paper, outcomes), outcomes, paper.notes, paper)]


def show_path(path: Path) -> str:
    """The path, from here if it lies below.

    >>> show_path(Path.cwd() / "mine.toml"), show_path(Path("mine.toml"))
    ('mine.toml', 'mine.toml')
    """
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _audit_table(grid: Grid, options: TableOptions) -> Audit:
    classes, says = options.classes, (options.average, options.folds, options.fold_sizes, options.runs)
    average, folds, fold_sizes, runs = says
    about = Claim(
        **{**BLANK, "table": grid.name, "where": grid.name, "classes": classes},
        average=average,
        folds=folds,
        fold_sizes=read_fold_sizes([_as_list(size) for size in fold_sizes], classes, "--fold-sizes"),
        runs=runs,
        stratified=options.stratified,
    )
    table = read_grid(grid.rows, about, options.unit, grid.label)
    positive = options.positive or next(iter(classes), "")
    if classes and positive not in classes:
        raise UsageError(f"--positive {positive!r} is none of the classes {', '.join(classes)}")
    first = table.claims[0]
    paper = Paper(
        name=grid.name,
        title=grid.name,
        authors="",
        venue="",
        year="",
        doi="",
        task="",
        positive_class=positive,
        headline=Headline(first.table, first.row, first.metric),
        claims=table.claims,
        printed=table.claims,
        readings=(),
        statements=(),
        unstated=(),
        deviations=(),
        audits=(),
        checks=(),
        notes=table.notes,
    )
    outcomes = audit_paper(paper)
    summary = summarise_paper(paper, outcomes)
    return Audit(grid.label, grid.name, _describe_options(options, positive), summary, outcomes, table.notes, paper)


def _as_list(size: int | tuple[int, ...]) -> int | list[int]:
    return list(size) if isinstance(size, tuple) else size


def _describe_options(options: TableOptions, positive: str) -> str:
    """What was said of the table, and what was not."""
    classes = ", ".join(f"{name} {cases}" for name, cases in options.classes.items())
    parts = [f"cases: {classes}" if classes else "cases per class: not given"]
    parts += [f"positive: {positive}"] if options.positive or len(options.classes) == 2 else []
    parts += [f"averaged over the classes: {options.average}"] if options.average else []
    parts += [f"folds: {options.folds}"] if options.folds else []
    parts += ["folds with even shares of the classes"] if options.stratified else []
    sizes = ["+".join(map(str, size)) if isinstance(size, tuple) else str(size) for size in options.fold_sizes]
    parts += [f"cases of the folds: {', '.join(sizes)}"] if sizes else []
    parts += [f"repetitions: {options.runs}"] if options.runs else []
    return "; ".join(parts)


def read_count(count: int | None, option: str, most: int) -> int:
    """The number given with an option, 0 where none is. Raises UsageError unless it is from 1 to `most`.

    >>> read_count(5, "--folds", 1000), read_count(None, "--folds", 1000)
    (5, 0)
    """
    if count is not None and not 1 <= count <= most:
        raise UsageError(f"{option} {count}: must be a whole number from 1 to {most}")
    return count or 0


def read_class_option(text: str) -> dict[str, int]:
    """The cases per class of `--classes ill=40,healthy=60`. Raises UsageError unless there are two classes or more.

    >>> read_class_option("ill=40, healthy=60")
    {'ill': 40, 'healthy': 60}
    """
    classes: dict[str, int] = {}
    for part in text.split(","):
        name, sign, cases = (item.strip() for item in part.rpartition("="))
        if not (sign and name and cases.isascii() and cases.isdigit() and len(cases) < 12) or name in classes:
            raise UsageError(f"--classes: {part.strip()!r} is no class of its own with its cases; write ill=40,healthy=60")
        classes[name] = int(cases)
    if empty := [name for name, cases in classes.items() if not cases]:
        raise UsageError(f"--classes: {empty[0]}=0 has no cases; leave out a class that the test set does not hold")
    if len(classes) < 2:
        raise UsageError(f"--classes {text}: two classes or more are needed; write ill=40,healthy=60")
    return read_classes(classes, "--classes")


def read_size_option(text: str) -> tuple[int | tuple[int, ...], ...]:
    """The cases of each fold of `--fold-sizes 20,21,21`, or of each class in it: 8+12,8+13. Raises UsageError for anything else.

    >>> read_size_option("20,21,21"), read_size_option("8+12,8+13")
    ((20, 21, 21), ((8, 12), (8, 13)))
    """
    folds = [[part.strip() for part in fold.split("+")] for fold in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 12 for fold in folds for part in fold):
        raise UsageError(f"--fold-sizes {text}: must be the cases of each fold; write 20,21,21, or 8+12,8+13,9+12 class by class")
    return tuple(int(fold[0]) if len(fold) == 1 else tuple(map(int, fold)) for fold in folds)


def refuse_table_options(sources: Sequence[Path], options: TableOptions) -> None:
    """Raise UsageError where options of tables are given and a source is none: a paper.toml says those things itself.

    >>> refuse_table_options([Path("paper.toml")], TableOptions(folds=5))
    Traceback (most recent call last):
    common.errors.UsageError: paper.toml: --classes, --folds and the like are for tables; a paper.toml says them itself
    """
    if options != TableOptions():
        for path in sources:
            if not is_table(path):
                raise UsageError(f"{path}: --classes, --folds and the like are for tables; a paper.toml says them itself")
