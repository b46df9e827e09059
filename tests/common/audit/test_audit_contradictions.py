"""Which numbers of an impossible row are accused: the smallest sets that exclude each other, and no other number."""

import itertools
import random
from dataclasses import replace

import pytest

from benchmarks.audit_alarms import Table, make_claims
from common.audit.contradictions import MOST_TRIED, find_contradictions
from common.audit.papers import audit_paper, find_impossible_claims
from common.audit.render import describe_weight
from common.audit.summary import ALONE, TOGETHER, judge_numbers
from common.records.paper import Claim, Headline, Paper


def make_paper(claims: list[Claim]) -> Paper:
    words = dict.fromkeys(("name", "title", "authors", "venue", "year", "doi", "task"), "")
    nothing = dict.fromkeys(("readings", "statements", "unstated", "deviations", "audits", "checks"), ())
    headline = Headline(claims[0].table, claims[0].row, claims[0].metric)
    return Paper(**words, positive_class="ill", headline=headline, claims=tuple(claims), printed=tuple(claims), **nothing)


def print_row(values: dict[str, float], classes: dict[str, int], average: str, digits: int = 1) -> Paper:
    return make_paper(make_claims(Table(values, classes, digits, "percent", average=average), stated=True))


def list_accused(paper: Paper) -> set[str]:
    return {metric for _, _, metric in find_impossible_claims(paper)}


# 35 of 40 ill and 50 of 60 healthy: everything but the accuracy, which is 85.0, is right.
ROW = {"accuracy": 0.87, "sensitivity": 0.875, "specificity": 5 / 6, "precision": 35 / 45, "npv": 50 / 55, "f1": 70 / 85}
CLASSES = {"ill": 40, "healthy": 60}


def test_numbers_that_the_contradiction_does_not_need_are_free():
    """Sensitivity 37.0 of 40 ill: no count. The five others fit each other."""
    paper = print_row({**ROW, "accuracy": 0.85, "sensitivity": 0.37}, CLASSES, "binary")
    assert list_accused(paper) == {"sensitivity"}
    judged = {key[2]: mark for key, mark in judge_numbers(paper, audit_paper(paper)).items()}
    assert judged["sensitivity"] == ALONE
    assert {mark for metric, mark in judged.items() if metric != "sensitivity"} == {""}


def test_of_six_numbers_three_that_exclude_each_other_are_accused():
    """An average over two classes of unknown matrix: specificity of a single class cannot be told from the others, sums can."""
    classes = {"ill": 50, "healthy": 50}  # accuracy is the mean of sensitivity and specificity, nothing else is needed
    values = {"accuracy": 0.80, "sensitivity": 0.90, "specificity": 0.60}
    paper = print_row({**values, "kappa": 0.6}, classes, "binary")
    found = next(outcome for outcome in audit_paper(paper) if outcome.check == "one matrix")
    assert ("accuracy", "sensitivity", "specificity") in found.accused
    assert ("sensitivity", "specificity", "kappa") in found.accused  # would be 0.5
    assert ("accuracy", "kappa") not in found.accused  # 80 of 100 right, kappa 0.6: fits
    assert "impossible already: accuracy + sensitivity + specificity" in describe_weight(found)


def test_a_number_in_no_set_is_not_accused_where_averages_are_printed():
    """36 of 40, 27 of 30 and 27 of 30 right, F1 misprinted: no mean of F1 is above 2PR/(P+R), whatever else is printed."""
    values = {"accuracy": 0.90, "sensitivity": 0.90, "precision": 0.90, "f1": 0.93, "specificity": 0.9492}
    table = Table(values, {"a": 40, "b": 30, "c": 30}, 1, "percent")
    paper = make_paper(make_claims(table, stated=False))
    assert list_accused(paper) == {"sensitivity", "precision", "f1"}
    judged = {key[2]: mark for key, mark in judge_numbers(paper, audit_paper(paper)).items()}
    assert (judged["f1"], judged["accuracy"], judged["specificity"]) == (TOGETHER, "", "")
    # With the average stated fewer numbers suffice, and F1 stands in each set.
    paper = make_paper(make_claims(replace(table, average="macro"), stated=True))
    (found,) = (outcome for outcome in audit_paper(paper) if outcome.verdict == "impossible")
    assert all("f1" in metrics for metrics in found.accused)


def test_two_checks_accuse_what_the_narrower_one_needs():
    """Accuracy 87.0 is outside 75.0 to 70.0; but 42 of 60 healthy alone allow 82 of 100 at most, whatever the sensitivity."""
    paper = print_row({"accuracy": 0.87, "sensitivity": 0.75, "specificity": 0.70}, CLASSES, "binary")
    assert {outcome.check for outcome in audit_paper(paper) if outcome.verdict == "impossible"} == {"one matrix", "between"}
    assert list_accused(paper) == {"accuracy", "specificity"}


@pytest.mark.parametrize("seed", range(20))
def test_the_smallest_sets_are_those_of_all_subsets(seed):
    """Against every subset, for contradictions drawn at random."""
    draw, names = random.Random(seed), list("abcdefg")
    cores = [frozenset(draw.sample(names, draw.randint(1, 4))) for _ in range(draw.randint(1, 4))]

    def contradicts(some: frozenset[str]) -> bool:
        return any(core <= some for core in cores)

    subsets = [frozenset(some) for size in range(1, 8) for some in itertools.combinations(names, size)]
    expected = {some for some in subsets if contradicts(some) and not any(contradicts(some - {name}) for name in some)}
    assert {frozenset(some) for some in find_contradictions(names, contradicts)} == expected


def test_the_search_ends():
    """Of twelve numbers each alone is wrong: 4095 sets, of which few are judged."""
    asked = []

    def contradicts(some: frozenset[str]) -> bool:
        asked.append(some)
        return True

    names = [f"metric {i}" for i in range(12)]
    found = find_contradictions(names, contradicts)
    assert len(asked) == MOST_TRIED
    assert set(itertools.chain(*found)) <= set(names)
