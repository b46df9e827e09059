"""Published rows on the skin-lesion test sets of ISIC 2016 and 2017: the same verdicts as mlscorecheck, row by row.

The numbers are facts of the papers named by their DOI, as collected by Fazekas A, Kovacs G. (arXiv 2310.12527).
"""

import logging

import pytest

from common.audit.confusions import search_binary
from common.audit.printed import Printed

TEST_SETS = {"isic2016": (75, 304), "melanoma2017": (117, 483), "keratosis2017": (90, 510)}
# (test set, DOI and table, accuracy, sensitivity, specificity of each row, with the digits as printed)
TABLES = [
    ("isic2016", "10.1109/TMI.2016.2642839, Table IV",
     ".855 .813 .834 .786 .844 .821 .815 .681 .731 .599",
     ".507 .573 .320 .667 .240 .200 .467 .787 .773 .853",
     ".941 .872 .961 .816 .993 .974 .901 .655 .720 .536"),
    ("isic2016", "10.1109/TMI.2016.2642839, Table V", ".828 .855", ".427 .547", ".927 .931"),
    ("isic2016", "10.1109/TMI.2016.2642839, Table VI", ".826 .847 .855", ".413 .507 .547", ".928 .931 .931"),
    ("isic2016", "10.1109/TMI.2016.2642839, Table VII", ".850 .844 .855", ".507 .520 .547", ".934 .824 .931"),
    ("isic2016", "10.1147/JRD.2017.2708299, Table 3",
     ".755 .810 .781 .834 .834 .807 .805 .855 .855 .836 .770 .726 .752",
     ".627 .720 .707 .533 .520 .693 .693 .547 .507 .253 .720 .693 .640",
     ".796 .832 .799 .9079 .9112 .836 .832 .931 .941 .980 .723 .734 .780"),
    ("isic2016", "10.1147/JRD.2017.2708299, Table 6",
     ".789 .734 .694 .702 .655 .694 .776 .723 .678 .699 .726 .686 .694 .702",
     ".213 .707 .707 .640 .400 .600 .267 .693 .627 .600 .507 .480 .587 .573",
     ".9309 .740 .691 .717 .730 .717 .9013 .730 .691 .724 .780 .737 .720 .734"),
    ("melanoma2017", "10.1109/TMI.2019.2893944, ablation",
     ".748 .762 .757 .778 .838 .850 .848 .850",
     ".538 .615 .598 .615 .632 .624 .624 .658",
     ".799 .797 .795 .818 .888 .906 .903 .896"),
    ("keratosis2017", "10.1109/TMI.2019.2893944, ablation",
     ".711 .758 .727 .763 .842 .862 .863 .868",
     ".800 .833 .811 .822 .867 .878 .856 .878",
     ".696 .745 .712 .753 .837 .859 .865 .867"),
    ("melanoma2017", "10.1109/TMI.2019.2893944, comparison",
     ".850 .828 .823 .872 .858 .845 .837 .830",
     ".658 .735 .103 .547 .427 .350 .590 .436",
     ".896 .851 .998 .950 .963 .965 .896 .925"),
    ("keratosis2017", "10.1109/TMI.2019.2893944, comparison",
     ".868 .803 .875 .895 .918 .913 .908 .917",
     ".878 .978 .178 .356 .589 .556 .778 .700",
     ".867 .773 .998 .990 .976 .976 .931 .995"),
]  # fmt: skip
# What that collection finds contradictory at one unit of the third digit: (table, row).
CONTRADICTORY = {(3, 1), (4, 0), (4, 10), (5, 4), (6, 5), (9, 7)}


def list_rows():
    for i, (test_set, _, *columns) in enumerate(TABLES):
        for j, texts in enumerate(zip(*(column.split() for column in columns), strict=True)):
            numbers = [Printed(f"0{text}", "fraction") for text in texts]
            yield (i, j), TEST_SETS[test_set], dict(zip(("accuracy", "sensitivity", "specificity"), numbers, strict=True))


def test_the_published_contradictions_are_found():
    """With one unit of the last printed digit, and no others."""
    found = {key for key, sizes, printed in list_rows() if not search_binary(printed, *sizes, "near")}
    assert len(list(list_rows())) == 77
    assert found == CONTRADICTORY


def test_every_row_as_mlscorecheck_has_it():
    """Rounded and within one unit."""
    check = pytest.importorskip("mlscorecheck.check.binary", reason="the test extra").check_1_testset_no_kfold
    logging.getLogger("mlscorecheck").setLevel(logging.ERROR)
    names = {"accuracy": "acc", "sensitivity": "sens", "specificity": "spec"}
    for way, units in (("rounded", 0.5), ("near", 1)):
        for key, (positives, negatives), printed in list_rows():
            scores = {short: float(printed[name].value) for name, short in names.items()}
            eps = {short: units * float(printed[name].step) for name, short in names.items()}
            theirs = check(testset={"p": positives, "n": negatives}, scores=scores, eps=eps)["inconsistency"]
            assert bool(search_binary(printed, positives, negatives, way)) is not theirs, key
