"""Exact arithmetic of printed numbers: known answers, tables made from random confusion matrices, independent libraries."""

import itertools
import logging
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from common.audit.confusions import (
    BINARY,
    Solution,
    compute_macro,
    list_compositions,
    list_matrices,
    search_binary,
    search_macro,
)
from common.audit.equations import overlap, solve_equation
from common.audit.printed import (
    Printed,
    bound_mcnemar_p,
    compute_binomial_p,
    compute_no_sibling,
    compute_variance,
    describe_counts,
    find_denominators,
    find_float32_fractions,
    find_way,
    format_exact,
    print_claim,
)
from common.records.paper import Claim
from common.records.toml_lines import find_entry_lines, find_table_line


def percent(text: str) -> Printed:
    return Printed(text, "percent")


def fraction(text: str) -> Printed:
    return Printed(text, "fraction")


def write_rounded(value: Fraction, digits: int, unit: str = "fraction") -> Printed:
    return Printed(format_exact(value * (100 if unit == "percent" else 1), digits), unit)


def write_truncated(value: Fraction, digits: int) -> Printed:
    return Printed(format_exact(Fraction(math.floor(value * 10**digits), 10**digits), digits), "fraction")


# ---------------------------------------------------------------------------------------------------- printed numbers


def test_printed_numbers_are_exact():
    number = percent("96.0")
    assert (number.value, number.step, number.digits) == (Fraction(24, 25), Fraction(1, 1000), 1)
    assert number.bounds() == (Fraction(1919, 2000), Fraction(1921, 2000))
    # 0.1 + 0.2 is 0.3 here.
    assert fraction("0.1").value + fraction("0.2").value == fraction("0.3").value


@pytest.mark.parametrize("text", ["", "--1", "-", "1e3", "0x1", "1.2.3", "nan", "٣", "1" * 41, " 1"])
def test_what_is_no_printed_number(text):
    with pytest.raises(ValueError, match="decimal number"):
        percent(text)


def make_claim(value: float | None, digits: int, unit: str = "percent") -> Claim:
    return Claim("1", "net", "accuracy", value, digits, unit, "Table 1", {"a": 1})


def test_claims_are_printed_with_their_digits():
    assert print_claim(make_claim(96.0, 1)).text == "96.0"
    assert print_claim(make_claim(0.29, 2, "fraction")).value == Fraction(29, 100)
    assert print_claim(make_claim(0.00039842787655466335, 20, "fraction")).text == "0.00039842787655466335"
    assert print_claim(make_claim(1622.0, 0, "count")).text == "1622"
    with pytest.raises(ValueError, match="more decimals than digits = 1"):
        print_claim(make_claim(96.04, 1))
    with pytest.raises(ValueError, match="cannot be written"):
        print_claim(make_claim(None, 1))


def test_attainable_by_hand():
    assert find_way(percent("92.5"), 40) == ("rounded", range(37, 38))
    assert find_way(percent("92.1"), 40)[0] is None
    assert find_way(percent("90.1"), 752) == ("truncated", range(678, 679))  # 90.16
    assert find_way(percent("0.5"), 200) == ("rounded", range(1, 2))
    assert find_way(percent("12"), 8) == ("rounded", range(1, 2))  # 12.5: a tie may be rounded down
    assert find_way(percent("13"), 8) == ("rounded", range(1, 2))  # ... or up
    assert describe_counts(percent("96.0"), 269) == "258/269 = 95.91, 259/269 = 96.28"
    assert describe_counts(percent("50"), 1000).endswith("and 8 more")


def test_limits_of_the_ways():
    number = fraction("0.50")
    assert [number.holds(Fraction(x, 1000), "rounded") for x in (494, 495, 505, 506)] == [False, True, True, False]
    assert [number.holds(Fraction(x, 1000), "truncated") for x in (495, 509, 510)] == [True, True, False]
    assert [number.holds(Fraction(x, 1000), "near") for x in (489, 490, 510, 511)] == [False, True, True, False]
    for way in ("rounded", "truncated", "near"):
        for n in (7, 40, 200, 1000):
            expected = [k for k in range(n + 1) if number.holds(Fraction(k, n), way)]
            assert list(number.counts(n, way)) == expected


def test_chance_counts_the_numbers_that_some_fraction_gives():
    for n, digits in ((7, 1), (33, 2), (136, 3), (99, 2), (5000, 3)):
        printed = {format_exact(Fraction(k, n), digits) for k in range(n + 1)}
        assert fraction("0." + "5" * digits).chance(n) == Fraction(len(printed), 10**digits + 1)


def test_denominators():
    numbers = [write_rounded(Fraction(k, 77), 4) for k in (46, 54, 57, 61, 66)]
    assert find_denominators(numbers, 200) == [77, 154]


def test_float32_fractions_are_those_of_numpy():
    for k, n in ((223, 232), (1, 3), (240, 241), (2, 61)):
        printed = fraction(repr(float(np.float32(k) / np.float32(n))))
        expected = [
            (j, m) for m in range(2, 300) for j in range(1, m) if np.float32(j) / np.float32(m) == np.float32(k) / np.float32(n)
        ]
        assert find_float32_fractions(printed, 2, 299) == expected
    assert find_float32_fractions(fraction("0.9612069129943849"), 60, 420) is None  # one off in the last digit
    assert find_float32_fractions(fraction("0.96"), 60, 420) is None
    assert find_float32_fractions(fraction("1.0"), 60, 420) is None


def test_variance():
    values = [0.952, 0.9327, 0.9612, 0.9551]
    exact = compute_variance([Fraction(str(value)) for value in values], 1)
    assert float(exact) == pytest.approx(np.var(values, ddof=1), rel=1e-12)


def test_sibling_probability_by_counting():
    """Two originals of three variants each (0 to 2 and 3 to 5), four of the six images for testing: all ways to draw them."""
    with_first = [drawn for drawn in itertools.combinations(range(6), 4) if 0 in drawn]
    alone = [drawn for drawn in with_first if {1, 2} <= set(drawn)]
    assert compute_no_sibling(2, 6, 4) == Fraction(len(alone), len(with_first))
    assert compute_no_sibling(6, 6, 4) == 1
    assert float(compute_no_sibling(100, 1877, 376)) < 1e-11
    with pytest.raises(ValueError, match="originals"):
        compute_no_sibling(10, 5, 1)


# ------------------------------------------------------------------------------------------------- independent libraries


def test_binomial_against_scipy():
    for count, n, share in ((222, 1208, "0.1"), (5, 40, "0.25"), (242, 1208, "0.2"), (0, 10, "0.5")):
        p = Fraction(share)
        binomial = stats.binom(n, float(p))
        expected = min(1.0, 2 * (binomial.sf(count - 1) if count > float(p) * n else binomial.cdf(count)))
        assert float(compute_binomial_p(count, n, p)) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_bound_against_statsmodels():
    mcnemar = pytest.importorskip("statsmodels.stats.contingency_tables", reason="the test extra").mcnemar
    for difference in (1, 2, 8, 15):
        best = mcnemar([[50, difference], [0, 9]], exact=True).pvalue
        assert float(bound_mcnemar_p(difference)) == pytest.approx(best)
        assert all(mcnemar([[50, difference + b], [b, 9]], exact=True).pvalue >= best for b in range(1, 8))
    assert bound_mcnemar_p(0) == 1


def test_binary_search_against_mlscorecheck():
    """The same verdicts as an independent library that works with intervals."""
    check = pytest.importorskip("mlscorecheck.check.binary", reason="the test extra").check_1_testset_no_kfold
    logging.getLogger("mlscorecheck").setLevel(logging.ERROR)
    short = {"accuracy": "acc", "sensitivity": "sens", "specificity": "spec"}
    generator = np.random.default_rng(5)
    verdicts = []
    for _ in range(60):
        p, n = (int(x) for x in generator.integers(20, 90, 2))
        tp, tn = int(generator.integers(p // 2, p + 1)), int(generator.integers(n // 2, n + 1))
        values = {name: Fraction(*BINARY[name](tp, p - tp, n - tn, tn)) for name in short}
        if generator.random() < 0.6:
            values["accuracy"] += Fraction(int(generator.integers(-8, 9)), 1000)
        values["accuracy"] = min(Fraction(1), max(Fraction(0), values["accuracy"]))
        printed = {name: write_rounded(value, 3) for name, value in values.items()}
        scores = {short[name]: float(number.text) for name, number in printed.items()}
        theirs = check(testset={"p": p, "n": n}, scores=scores, eps=5e-4)["inconsistency"]
        verdicts.append((bool(search_binary(printed, p, n)), not theirs))
    assert [ours for ours, _ in verdicts] == [theirs for _, theirs in verdicts]
    assert 10 < sum(ours for ours, _ in verdicts) < 50


# --------------------------------------------------------------------------------------------------- confusion matrices


def draw_matrix(generator: np.random.Generator, cases: tuple[int, ...]) -> np.ndarray:
    """A random confusion matrix, truth in rows, better than chance."""
    skill = generator.uniform(0.3, 0.95)
    chances = np.full((len(cases), len(cases)), (1 - skill) / len(cases)) + skill * np.eye(len(cases))
    return np.stack([generator.multinomial(n, p) for n, p in zip(cases, chances, strict=True)])


@pytest.mark.parametrize(("write", "way"), [(write_rounded, "rounded"), (write_truncated, "truncated")])
def test_tables_of_real_binary_matrices_are_possible(write, way):
    generator = np.random.default_rng(1)
    for _ in range(150):
        p, n = (int(x) for x in generator.integers(10, 200, 2))
        (tp, fn), (fp, tn) = draw_matrix(generator, (p, n)).tolist()
        ratios = {name: metric(tp, fn, fp, tn) for name, metric in BINARY.items()}
        printed = {name: write(Fraction(a, b or 1), 3) for name, (a, b) in ratios.items() if b or not a}
        chosen = [name for name in printed if generator.random() < 0.6] or ["f1"]
        assert (tp, tn) in search_binary({name: printed[name] for name in chosen}, p, n, way)


def test_perturbed_binary_tables_are_almost_never_possible():
    generator = np.random.default_rng(2)
    passed = 0
    for _ in range(300):
        p, n = (int(x) for x in generator.integers(30, 120, 2))
        (tp, fn), (fp, tn) = draw_matrix(generator, (p, n)).tolist()
        values = {name: Fraction(*BINARY[name](tp, fn, fp, tn)) for name in ("accuracy", "sensitivity", "specificity")}
        victim = list(values)[generator.integers(3)]
        values[victim] += Fraction(int(generator.choice([-1, 1]) * generator.integers(15, 60)), 10_000)
        values = {name: min(Fraction(1), max(Fraction(0), value)) for name, value in values.items()}
        passed += bool(search_binary({name: write_rounded(value, 4) for name, value in values.items()}, p, n, "near"))
    assert passed <= 6  # 2 %


def summarise(matrix: np.ndarray) -> tuple[Solution, dict[str, Fraction]]:
    right, given = np.diag(matrix), matrix.sum(axis=0)
    solution = Solution(*(tuple(map(int, part)) for part in (matrix.sum(axis=1), right, given - right)))
    return solution, compute_macro(solution)


@pytest.mark.parametrize("cases", [(20, 15, 9), (12, 8, 7, 5)])
def test_tables_of_real_macro_means_are_possible_and_perturbed_ones_are_not(cases):
    generator = np.random.default_rng(3)
    names = ("accuracy", "sensitivity", "specificity", "precision")
    passed = 0
    for _ in range(40):
        matrix = draw_matrix(generator, cases)
        solution, values = summarise(matrix)
        printed = {name: write_rounded(values[name], 4) for name in names}
        found = search_macro(printed, cases)
        assert solution in found
        assert tuple(map(tuple, matrix.tolist())) in list_matrices(solution, 10_000)
        assert search_macro({**printed, "f1": write_rounded(values["f1"], 4)}, cases)
        victim = names[generator.integers(1, 4)]
        wrong = write_rounded(values[victim] + Fraction(int(generator.integers(15, 60)), 10_000), 4)
        passed += bool(search_macro({**printed, victim: wrong}, cases))
    assert passed <= 4


def test_macro_search_finds_the_offset():
    cases, offset = (37, 25, 15), Fraction(1, 100)
    solution, _ = summarise(np.array([[36, 1, 0], [4, 21, 0], [5, 1, 9]]))
    values = compute_macro(solution, offset)
    printed = {name: write_rounded(values[name], 4) for name in ("accuracy", "sensitivity", "specificity", "precision")}
    assert search_macro(printed, cases, offset) == [solution]
    assert search_macro(printed, cases) == []
    assert list_matrices(solution) == [((36, 1, 0), (4, 21, 0), (5, 1, 9))]


def test_macro_metrics_are_those_of_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support

    matrix = draw_matrix(np.random.default_rng(7), (30, 20, 11))
    truth, answer = np.indices(matrix.shape)
    labels = [np.repeat(part.ravel(), matrix.ravel()) for part in (truth, answer)]
    precision, recall, _, _ = precision_recall_fscore_support(*labels, average="macro")
    _, values = summarise(matrix)
    assert float(values["precision"]) == pytest.approx(precision)
    assert float(values["sensitivity"]) == pytest.approx(recall)


def test_compositions():
    assert list_compositions(6, 3) == [(2, 2, 2), (3, 2, 1), (4, 1, 1)]
    assert len(list_compositions(77, 3)) == 494
    assert list_compositions(2, 3) == []


def test_searches_that_are_too_large_are_refused():
    with pytest.raises(ValueError, match="too many"):
        search_binary({"f1": fraction("0.5000")}, 5000, 5000)
    with pytest.raises(ValueError, match="too many"):
        search_macro({"accuracy": fraction("0.50"), "sensitivity": fraction("0.50")}, (400,) * 4)


# ------------------------------------------------------------------------------------------------------------ equations


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("130 + 101 + 43 = 274", True),
        ("130 + 101 + 43 = 275", False),
        ("0.0412 / 0.5160 * 100 = 8.0", True),
        ("0.0412 / 0.5160 * 100 = 8.1", False),
        ("(0.5572 - 0.5160) / 0.5160 = 0.08", True),
        ("2 * 3 - 1 = 10 / 2", True),
        ("0.1 + 0.2 = 0.30", True),
    ],
)
def test_equations(text, holds):
    assert overlap(*solve_equation(text)) is holds


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1 + 1", "one '='"),
        ("1 = 1 = 1", "one '='"),
        ("2 ** 9 = 512", "not allowed"),
        ("f(1) = 1", "not allowed"),
        ("1 / 0 = 1", "division by zero"),
        ("1 / (0.1 - 0.1) = 1", "division by zero"),
        ("a + 1 = 2", "'a' is not a number"),
        ("1 + = 2", "not a sum"),
        ("'1' = 1", "decimal number"),
        ("1e5 = 100000", "decimal number"),
        ("True = 1", "decimal number"),
        ("1 + " * 100 + "1 = 101", "at most"),
    ],
)
def test_equations_that_are_none(text, fault):
    with pytest.raises(ValueError, match=fault):
        solve_equation(text)


# -------------------------------------------------------------------------------------------------------- lines of a file


def test_lines_of_entries():
    text = '''
claim = [  # claim = [{
    { a = "}]", b = { c = 1 } }, { a = 2 },
    # { a = 3 },
    { a = """
    { """ },
]

[[check]]
text = "[[check]]"

  [[ check ]]
x = [[1], [2]]
[[checks]]
'''
    assert find_entry_lines(text, "claim") == [3, 3, 5]
    assert find_entry_lines(text, "check") == [9, 12]
    assert find_entry_lines(text, "audit") == []
    assert find_table_line("# [a]\nx = '[a]'\n [a]\n", "a") == 3
    assert find_table_line("a = {}\n[[a]]\n", "a") is None
