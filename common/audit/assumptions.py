"""What an audit takes for granted, in one sentence: rounding, unit, sizes of the classes, how the numbers were averaged."""

from collections.abc import Sequence

from common.audit.outcomes import Averaging
from common.records.paper import Claim, Paper

SHOWN_CLASSES = 6  # of one test set, by name and size
OF_RESULTS = (
    "Assumed: every number is rounded at its sixth significant digit, and those of a seed are of one test set with the cases "
    "that the record states."
)
AVERAGES = {
    "binary": "of one positive class",
    "macro": "macro averages",
    "weighted": "weighted averages",
    "micro": "micro averages",
}


def describe_assumptions(paper: Paper) -> str:
    """The sentence for the printed ratios of a paper; "" where it prints none.

    >>> from pathlib import Path
    >>> from common.audit.example import EXAMPLE
    >>> from common.records.paper import parse_paper
    >>> print(describe_assumptions(parse_paper(EXAMPLE, Path("mine/paper.toml"))).replace("; ", ";\\n"))
    Assumed: each number, sums and means included, is rounded to the nearest, down or up: at most one unit of its last digit off;
    it is in percent;
    the cases are as stated (ill 40, healthy 60);
    the numbers are as stated (of one test set, of one training), and averaged over classes in every usual way.
    """
    claims = [claim for claim in paper.printed if claim.unit != "count" and claim.value is not None]
    if not claims:
        return ""
    parts = [
        "each number, sums and means included, is rounded to the nearest, down or up: at most one unit of its last digit off",
        _describe_units(claims),
        _describe_sizes(claims),
        _describe_averaging(claims),
    ]
    return f"Assumed: {'; '.join(parts)}."


def _describe_units(claims: Sequence[Claim]) -> str:
    names = {"percent": "in percent", "fraction": "a fraction of 1"}
    units = {unit: sorted({claim.metric for claim in claims if claim.unit == unit}) for unit in {claim.unit for claim in claims}}
    if len(units) == 1:
        (unit,) = units
        return f"it is {names.get(unit, unit)}"
    shown = [f"{', '.join(units[unit])} {names.get(unit, unit)}" for unit in sorted(units, key=lambda unit: unit != "percent")]
    return " and ".join(shown)


def _describe_sizes(claims: Sequence[Claim]) -> str:
    known = list({tuple(claim.classes.items()): None for claim in claims if claim.classes})
    unknown = sum(not claim.classes for claim in claims)
    if not known:
        return "the cases of the classes are not known"
    if len(known) > 1:
        text = f"the cases of {len(known)} test sets are as stated"
    elif len(known[0]) > SHOWN_CLASSES:
        text = f"the cases of {len(known[0])} classes, {sum(cases for _, cases in known[0])} in all, are as stated"
    else:
        text = f"the cases are as stated ({', '.join(f'{name} {cases}' for name, cases in known[0])})"
    return text + (f", and not known for {unknown} of {len(claims)} numbers" if unknown else "")


def _describe_averaging(claims: Sequence[Claim]) -> str:
    ways = {Averaging(claim.average, claim.folds, claim.fold_sizes, claim.runs, claim.stratified) for claim in claims}
    if len(ways) > 1:
        return "the numbers are averaged as stated of each, and in every usual way where nothing is stated"
    (says,) = ways
    if says.is_open:
        return "how the numbers were averaged is not stated, so that every usual way is tried"
    folds = max(says.folds, len(says.fold_sizes))
    even = " with even shares of the classes" if says.stratified else ""
    stated = [AVERAGES[says.average]] if says.average else []
    stated += [f"means over {folds} folds{even}" if folds > 1 else "of one test set"] if folds else []
    stated += [f"means over {says.runs} trainings" if says.runs > 1 else "of one training"] if says.runs else []
    missing = [name for name, said in (("classes", says.average), ("folds", folds), ("trainings", says.runs)) if not said]
    text = f"the numbers are as stated ({', '.join(stated)})"
    return text + (f", and averaged over {' and '.join(missing)} in every usual way" if missing else "")
