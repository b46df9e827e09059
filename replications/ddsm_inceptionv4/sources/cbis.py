"""CBIS-DDSM (Lee et al. 2017, TCIA): DICOM films of cases with a lesion; benign against malignant, a task of its own.

There is no image without a lesion, so the paper's task cannot be had from it. The official lists say which cases train and
which test; a woman may stand in both, as masses and calcifications were divided apart.
"""

import re
from collections import defaultdict
from pathlib import Path

import pandas as pd

from common.data.csv_files import read_csv_table, read_header
from common.data.folder import walk_files
from common.errors import UsageError, shorten
from replications.ddsm_inceptionv4.sources.mammograms import Listing, Mammogram

LISTS = {
    f"{kind}_case_description_{side}_set.csv": side for kind in ("mass", "calc") for side in ("train", "test")
}  # name -> official side
COLUMNS = {"patient_id": str, "left or right breast": str, "image view": str, "pathology": str, "image file path": str}
DENSITIES = ("breast_density", "breast density")  # the lists write it in two ways
PATHOLOGIES = {"MALIGNANT": 1, "BENIGN": 0, "BENIGN_WITHOUT_CALLBACK": 0}
PATIENT = re.compile(r"P_\d{5}")


def list_cbis(folder: Path) -> Listing:
    """Every film of the lists that are there, once. Label: 1 (malignant) where any of its abnormalities is malignant, in any
    list.

    A film is the one DICOM below the folder that its list names first ("Mass-Training_P_00001_LEFT_CC"). Raises UsageError
    where a list lacks a column, or there is none.
    """
    tables = [_read_list(folder / name, side) for name, side in LISTS.items() if (folder / name).is_file()]
    if not tables:
        raise UsageError(f"{folder}: none of the lists {', '.join(LISTS)}")
    films: dict[str, list[Path]] = defaultdict(list)
    for path in walk_files(folder):
        if path.suffix.lower() == ".dcm":
            for part in path.relative_to(folder).parts[:-1]:
                films[part].append(path)
    faults, mammograms, twice = [], [], 0
    rows = pd.concat(tables, ignore_index=True)
    if rows.empty:
        raise UsageError(f"{folder}: the lists are empty")
    rows["breast"], rows["view"] = (rows[name].str.strip().str.lower() for name in ("left or right breast", "image view"))
    for _, of_film in rows.groupby(["patient_id", "breast", "view"]):
        first = of_film.iloc[0]
        series = sorted(of_film["series"].unique(), reverse=True)  # masses before calcifications
        shown = shorten(series[0], 100)
        pathologies = {text.strip().upper() for text in of_film["pathology"]}
        found = next((films[name] for name in series if len(films.get(name, [])) == 1), [])
        if not PATIENT.fullmatch(first["patient_id"]) or not pathologies <= PATHOLOGIES.keys():
            faults.append(f"{shown}: patient or pathology is not one of the collection")
        elif len(found) != 1:
            faults.append(f"{shown}: {len(films.get(series[0], []))} DICOM files below its folder, one expected")
        else:
            twice += len(series) > 1
            label = max(PATHOLOGIES[name] for name in pathologies)
            side = "test" if (of_film["side"] == "test").any() else "train"
            about = (first["breast"], first["view"].upper(), int(first["density"]), "", side)
            name = found[0].relative_to(folder).as_posix()
            mammograms.append(Mammogram(series[0], name, first["patient_id"], label, *about, kind="dicom"))
    both = int((rows.groupby("patient_id")["side"].nunique() > 1).sum())
    return Listing(mammograms, faults, {"films_of_both_lists": twice, "patients_of_both_official_sides": both})


def _read_list(path: Path, side: str) -> pd.DataFrame:
    table, header = read_csv_table(path, COLUMNS), read_header(path)
    density = next((name for name in DENSITIES if name in header), None)
    written = read_csv_table(path, {density: str})[density] if density else pd.Series("", index=table.index)
    digits = written.where(written.isin(list("1234")), "0").astype(int)
    series = table["image file path"].str.replace("\\", "/").str.split("/", n=1).str[0].str.strip()
    return table.assign(density=digits, series=series, side=side)
