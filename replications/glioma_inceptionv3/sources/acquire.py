"""What lies in the data folder beside the report's tables, and what to get where: the texts behind data.py's command."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from common.cases.copies import describe_gaps, list_copies
from common.records.paper import load_paper

NEARLY, FEW = 0.9, 5  # share of a grade from which a site is nearly that grade, of so many subjects or more
HOW_TO_GET = """\
The report's collection is not named (glioma data of TCIA, 80 subjects of grades II, III and IV). Nothing is downloaded for you.

Your own volumes, or REMBRANDT (https://www.cancerimagingarchive.net/collection/rembrandt, grades II to IV in its clinical table):
    glioma/subjects.csv  columns subject,grade and, where given, image,mask,site,segment
      grade: II, III, IV (or 2, G2, Grade II, WHO 2); empty: not used; image, mask: .nrrd, .nhdr, .nii or .nii.gz inside glioma/;
      without them <subject>/sample.nrrd and <subject>/sample.seg.nrrd, as in the report; site: where it was treated;
      segment: name or number of the lesion's segment in a .seg.nrrd, or its label in a label map (any: all labels)
TCGA-LGG slices, Buda et al. 2019: 110 patients, grades II and III only
    page https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation; licence: see the page
    lgg_mri_segmentation/  kaggle_3m/data.csv and kaggle_3m/TCGA_*/*.tif as unpacked (one copy: the archive holds two)
UCSF-PDGM, Calabrese et al. 2022: 495 subjects, grades II to IV
    page https://doi.org/10.7937/tcia.bdgf-8v37; licence: see the page
    ucsf_pdgm/  UCSF-PDGM-metadata*.csv and <ID>_nifti/ as unpacked
BraTS, or the segmentations of TCGA-LGG and TCGA-GBM at TCIA: no WHO grade; it must come from the clinical tables
    brats/grades.csv  columns subject,grade and, where known, site; brats/<subject>/<subject>_<sequence>.nii.gz, in any folders
    TCGA-GBM is grade IV only, TCGA-LGG II and III only: then the collection tells the grade, and is best named as the site
Which one: --set source=own, lgg, ucsf or brats; without it, the first of them that is there."""


def describe_steps(notes: Mapping[str, Any]) -> list[str]:
    """Lines for the `data` command: the steps of Tables 1 to 5, ours beside the printed numbers of paper.toml."""
    from pathlib import Path

    paper = load_paper(Path(__file__).parents[1] / "paper.toml")
    printed = {(claim.row, claim.metric): claim.value for claim in paper.claims if claim.table == "1-5"}
    lines = [f"subjects listed: {notes['listed']} (report: 122 downloaded)"] if notes["listed"] else []
    for step, counts in notes["steps"].items():
        ours = {**counts, "total": sum(counts.values())}
        lines.append(
            f"{step}: " + ", ".join(f"{name} {number} (report {printed[step, name]:g})" for name, number in ours.items())
        )
    lesions, kept = (sum(notes["steps"][step].values()) for step in list(notes["steps"])[2:])
    if lesions:
        lines.append(f"kept by the area filter: {kept / lesions:.1%} of the lesion slices (report: 1208 of 1508, 80.1 %)")
    if notes["sequence"]:
        lines.append(f"sequence: {notes['sequence']}")
    return lines


def describe_sites(sites: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Lines for the `data` command: subjects of each site by grade, with a warning where a site is a grade, or nearly.

    >>> for line in describe_sites({"A": {"II": 6, "III": 0}, "B": {"II": 2, "III": 4}}):
    ...     print(line)
    site A: II 6, III 0. WARNING: 6 of 6 subjects are of grade II: the site tells the grade
    site B: II 2, III 4
    the site alone names the grade of 83 % of the subjects (the commonest grade: 67 %)
    """
    lines = []
    for site, counts in sorted(sites.items()):
        total, (most, grade) = sum(counts.values()), max((n, grade) for grade, n in counts.items())
        warning = (
            f". WARNING: {most} of {total} subjects are of grade {grade}: the site tells the grade"
            if most >= NEARLY * total and total >= FEW
            else ""
        )
        lines.append(f"site {site}: " + ", ".join(f"{name} {number}" for name, number in counts.items()) + warning)
    if len(sites) > 1:
        table = np.array([list(counts.values()) for counts in sites.values()])
        by_site, common = table.max(axis=1).sum() / table.sum(), table.sum(axis=0).max() / table.sum()
        lines.append(
            f"the site alone names the grade of {by_site:.0%} of the subjects (the commonest grade: {common:.0%})".replace(
                "%", " %"
            )
        )
    return lines


def list_copies_between(notes: dict[str, Any], cases: pd.DataFrame, near_duplicates: str) -> list[str]:
    """Lines for the `data` command: near-duplicates of different subjects one by one, those within one subject as a number."""
    subject = dict(zip(cases["case_id"], cases["case_id"].str.rsplit("_", n=1).str[0], strict=True))
    between = [pair for pair in notes["near_duplicates"] if len({subject[name] for name in pair["case_ids"]}) > 1]
    within = len(notes["near_duplicates"]) - len(between)
    lines = list_copies({**notes, "near_duplicates": between}, near_duplicates)
    if not between:
        lines = [f"no near-duplicate slices of different subjects. {describe_gaps()}".strip()]
    return [*lines, f"{within} pairs of near-duplicate slices within a subject: neighbours, on both sides of a split of slices"]
