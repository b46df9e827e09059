"""Names of metrics as papers print them: capitals, abbreviations and spellings, and what stands beside them in a head.

Our names: accuracy, balanced_accuracy, sensitivity, specificity, precision, npv, f1, auc, mcc, kappa, lr_positive, lr_negative.
"""

import re
from dataclasses import dataclass

# Our name -> how papers write it, in small letters, with one space for every other sign between words.
SPELLINGS = {
    "accuracy": (
        "accuracy", "acc", "oa", "overall accuracy", "overall acc", "classification accuracy", "accuracy rate",
        "test accuracy", "test acc", "testing accuracy", "correct classification rate", "ccr",
    ),
    "balanced_accuracy": ("balanced accuracy", "balanced acc", "bal acc", "bal accuracy", "bacc", "ba", "bac"),
    "sensitivity": (
        "sensitivity", "sens", "sen", "sn", "se", "sensitivity rate", "recall", "rec", "recall rate", "tpr", "true positive rate",
        "hit rate",
    ),
    "specificity": ("specificity", "spec", "spe", "sp", "specificity rate", "tnr", "true negative rate", "selectivity"),
    "precision": ("precision", "prec", "pre", "ppv", "positive predictive value", "precision rate"),
    "npv": ("npv", "negative predictive value"),
    "f1": (
        "f1", "f 1", "f1 score", "f 1 score", "f1score", "f1 measure", "f1 value", "f score", "fscore", "f measure", "fmeasure",
    ),
    "auc": (
        "auc", "auroc", "roc auc", "auc roc", "roc", "rocauc", "aucroc", "auc score", "auc value", "az", "c statistic",
        "area under the curve", "area under curve", "area under the roc curve", "area under roc",
    ),
    "mcc": ("mcc", "matthews", "matthews correlation coefficient", "matthew correlation coefficient", "matthews correlation"),
    "kappa": (
        "kappa", "κ", "cohen kappa", "cohens kappa", "cohen κ", "cohens κ", "kappa score", "kappa coefficient", "kappa statistic",
    ),
    "lr_positive": ("lr+", "+lr", "lr positive", "plr", "positive lr", "positive likelihood ratio", "likelihood ratio+"),
    "lr_negative": ("lr-", "-lr", "lr negative", "nlr", "negative lr", "negative likelihood ratio", "likelihood ratio-"),
}  # fmt: skip
NAME_OF = {spelling: metric for metric, spellings in SPELLINGS.items() for spelling in spellings}
KEPT = {*SPELLINGS, "recall", "ppv", "f1_score"}  # names in a [[claim]] that stay as they are
RATIOS = ("lr_positive", "lr_negative")  # never percent
AVERAGED = re.compile(r"\b(macro|weighted|micro|binary)(?:[\s-]*(?:averaged|average|avg))?\b")
BRACKETS = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
# In brackets or behind a head, what says how the numbers are printed and not what they are.
SD = r"(?:sd|std|s\.d\.|stdev|standard deviation)"
REMARK = re.compile(
    rf"in|%|percent|(?:95\s*%?\s*)?(?:ci|confidence intervals?)|mean|(?:±|\+-|\+/-)?\s*{SD}|±|n/n|↑|↓"
    rf"|mean\s*(?:±|\+-|\+/-|and)\s*(?:{SD}|ci)"
)


@dataclass(frozen=True)
class Head:
    """The head of a column, understood."""

    metric: str  # one of SPELLINGS
    average: str = ""  # as the head says: "macro F1"
    percent: bool = False  # whether the head says so: "accuracy (%)"


def read_head(text: str) -> Head | None:
    """What the head of a column says; None if it is no metric that is known, or one of a single class of several.

    >>> read_head("Sens. (%)"), read_head("Macro-F1")
    (Head(metric='sensitivity', average='', percent=True), Head(metric='f1', average='macro', percent=False))
    >>> read_head("Recall (TPR)").metric, read_head("LR+").metric, read_head("Params (M)"), read_head("Recall (class 2)")
    ('sensitivity', 'lr_positive', None, None)
    """
    name = re.sub(r"[*_`†‡]", " ", text[:200]).casefold().replace("−", "-").replace("–", "-").replace("₁", "1")
    name = re.sub(r"(?<=[a-z])\s*\(([+-])\)", r"\1", name)  # LR(+)
    percent, average, others = "%" in re.sub(r"95\s*%\s*", "", name) or "percent" in name, "", []
    for inside in BRACKETS.findall(name):
        if found := AVERAGED.fullmatch(inside.strip()):
            average = found[1]
        elif not REMARK.fullmatch(inside.strip()):
            others.append(inside)
    name = BRACKETS.sub(" ", name)
    if found := AVERAGED.search(name):
        average, name = found[1], AVERAGED.sub(" ", name, count=1)
    metric = _find_metric(name)
    if metric is None or any(_find_metric(other) != metric for other in others):
        return None
    return Head(metric, average, percent)


def _find_metric(name: str) -> str | None:
    """The metric of a name in small letters, without brackets; remarks behind it do not count."""
    name = re.sub(r"95\s*%?\s*ci\b|%|↑|↓|±\s*(?:sd|std)?|\+/?-\s*(?:sd|std)", " ", name).replace("'", "").replace("’", "")
    name = re.sub(r"(lr|likelihood ratio)\s*([+-])\s*$", r"\1\2", name.strip())
    if name in NAME_OF:
        return NAME_OF[name]
    return NAME_OF.get(" ".join(re.split(r"[\s.,:/-]+", name)).strip())


def name_metric(written: str) -> str:
    """Our name of a metric that a paper.toml names; a name that we keep, or do not know, as it is.

    >>> name_metric("ACC."), name_metric("recall"), name_metric("ssim_health")
    ('accuracy', 'recall', 'ssim_health')
    """
    if written in KEPT:
        return written
    head = read_head(written)
    return head.metric if head else written
