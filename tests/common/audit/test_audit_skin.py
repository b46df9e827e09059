"""Published rows on the skin-lesion test sets of ISIC 2016 and 2017: the same verdicts as mlscorecheck, row by row.

The numbers are facts of the papers named by their DOI, as collected by Fazekas A, Kovacs G. (arXiv 2310.12527).
"""

import logging

import pytest

from common.audit.confusions import search_binary
from common.audit.outcomes import Line
from common.audit.printed import Printed
from common.audit.readings import explain_line

TEST_SETS = {  # positives, negatives
    "isic2016": (75, 304), "melanoma2017": (117, 483), "keratosis2017": (90, 510), "blue veil": (75, 320),
    "no blue veil": (320, 75), "melanoma2019": (101, 294), "xanthous": (80, 160), "caucasian": (120, 240),
}  # fmt: skip
RATES = ("accuracy", "sensitivity", "specificity")
NAMES = {name: ("sensitivity", "specificity", "precision") for name in ("blue veil", "no blue veil", "melanoma2019")}
# (test set, DOI and table, the columns RATES or NAMES of the test set, with the digits as printed)
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
    ("blue veil", "10.1109/JBHI.2018.2824327", ".493 .653 .773 .653", ".966 .925 .894 .919", ".771 .671 .630 .653"),
    ("no blue veil", "10.1109/JBHI.2018.2824327", ".966 .925 .894 .919", ".493 .653 .773 .653", ".890 .919 .944 .919"),
    ("melanoma2019", "10.1109/JBHI.2018.2824327",
     ".901 .475 .960 .693 .960 .693 .941 .733",
     ".401 .874 .330 .789 .361 .776 .361 .786",
     ".341 .565 .330 .530 .340 .515 .336 .540"),
    ("melanoma2017", "10.1016/j.jbi.2018.08.006, all rows contradict themselves",
     ".818 .823 .822 .802 .845 .845 .875 .848 .850 .852",
     ".496 .470 .385 .256 .376 .393 .487 .402 .427 .402",
     ".613 .561 .437 .585 .654 .650 .766 .689 .689 .719"),
    ("keratosis2017", "10.1016/j.jbi.2018.08.006, all rows contradict themselves",
     ".865 .872 .833 .825 .888 .877 .930 .887 .888 .880",
     ".689 .567 .656 .611 .656 .656 .778 .700 .733 .711",
     ".831 .728 .759 .686 .838 .826 .878 .836 .855 .851"),
    ("xanthous", "10.1109/TMI.2016.2633551",
     ".9083 .9083 .9000 .8833 .9167 .8917 .8500 .8750 .9417",
     ".8250 .8000 .7750 .8000 .8750 .8500 .6500 .7000 .9500",
     ".9500 .9625 .9625 .9250 .9375 .9125 .9500 .9625 .9375"),
    ("caucasian", "10.1109/TMI.2016.2633551",
     ".8722 .8833 .8222 .8778 .8778 .8722 .7722 .8389 .9111",
     ".7000 .7333 .5167 .7167 .7500 .7500 .6333 .7333 .8333",
     ".9583 .9583 .9750 .9583 .9417 .9333 .8417 .8917 .9500"),
]  # fmt: skip
# What that collection finds contradictory at one unit of the third digit: (table, row).
CONTRADICTORY = {(3, 1), (4, 0), (4, 10), (5, 4), (6, 5), (9, 7)} | {(i, j) for i in (13, 14) for j in range(10)}


def list_rows():
    for i, (test_set, _, *columns) in enumerate(TABLES):
        for j, texts in enumerate(zip(*(column.split() for column in columns), strict=True)):
            numbers = [Printed(f"0{text}", "fraction") for text in texts]
            yield (i, j), TEST_SETS[test_set], dict(zip(NAMES.get(test_set, RATES), numbers, strict=True))


def test_the_published_contradictions_are_found():
    """With one unit of the last printed digit, and no others."""
    found = {key for key, sizes, printed in list_rows() if not search_binary(printed, *sizes, "near")}
    assert len(list(list_rows())) == 131
    assert found == CONTRADICTORY


def test_every_row_as_mlscorecheck_has_it():
    """Rounded and within one unit."""
    check = pytest.importorskip("mlscorecheck.check.binary", reason="the test extra").check_1_testset_no_kfold
    logging.getLogger("mlscorecheck").setLevel(logging.ERROR)
    names = {"accuracy": "acc", "sensitivity": "sens", "specificity": "spec", "precision": "ppv"}
    for way, units in (("rounded", 0.5), ("near", 1)):
        for key, (positives, negatives), printed in list_rows():
            scores = {short: float(printed[name].value) for name, short in names.items() if name in printed}
            eps = {short: units * float(printed[name].step) for name, short in names.items() if name in printed}
            theirs = check(testset={"p": positives, "n": negatives}, scores=scores, eps=eps)["inconsistency"]
            assert bool(search_binary(printed, positives, negatives, way)) is not theirs, key


def test_weighted_means_are_no_contradiction():
    """10.1016/j.cmpb.2020.105351, Table 3: contradictory as numbers of melanoma, as mlscorecheck has them; weighted means."""
    rows = [(".7704", ".7704", ".6622", ".7839"), (".7995", ".7995", ".6793", ".8085"), (".8179", ".8180", ".7140", ".8259")]
    for texts in rows:
        metrics = {name: Printed(f"0{text}", "fraction") for name, text in zip((*RATES, "f1"), texts, strict=True)}
        assert not search_binary(metrics, *TEST_SETS["isic2016"], "near")
        line = Line("net", ("3",), dict(zip(("melanoma", "other"), TEST_SETS["isic2016"], strict=True)), metrics)
        assert explain_line(line)[1].startswith("as weighted means")
