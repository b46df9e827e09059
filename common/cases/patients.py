"""The patients of a case table: one id for each person, and a question where only a person knows."""

from typing import Any

from common.cases.sources import Read, Source
from common.data.patients import find_doubtful, normalise_patient
from common.errors import UsageError

SHOWN = 3
ANSWERS = ("same", "different")  # of --patients


def settle_patients(source: Source, read: Read) -> Read:
    """The same with one id for each patient: every reader's table goes through here before anything is counted or split.

    Ids that a person reads as the same become one (`normalise_patient`); notes["patient_spellings"] keeps, where there were
    several, how each was written. Ids that differ only by case, leading zeros or `.0` are one patient if source.patients is
    "same" (the first of them in sorted order), two if "different".
    Raises UsageError with their number and the first of them where source.patients gives no answer.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from pathlib import Path
    >>> cases = pd.DataFrame({"patient_id": ["Jos\u00e9", "Jose\u0301", "P7", "p07"], "path": list("abcd")})
    >>> own = Source("own", Path("pictures"), "pictures", synthetic=False, patients="same")
    >>> settle_patients(own, (np.zeros((4, 2, 2), np.uint8), cases, {"faults": []}))[1]["patient_id"].to_list()
    ['Jos\u00e9', 'Jos\u00e9', 'P7', 'P7']
    """
    images, cases, notes = read
    written = cases["patient_id"].astype(str)
    ids = written.map(normalise_patient)
    doubtful = find_doubtful(ids)
    if doubtful and source.patients not in ANSWERS:
        shown = "; ".join(" = ".join(map(repr, group[:SHOWN])) for group in doubtful[:SHOWN])
        count = f"{len(doubtful)} patient{'s' if len(doubtful) > 1 else ''}"
        raise UsageError(
            f"{source.path}: {count} in doubt, ids that differ only by case, leading zeros or .0: {shown}"
            f"{'; ...' if len(doubtful) > SHOWN else ''}; say --patients same or --patients different, or mend the table"
        )
    if source.patients == "same":
        first = {name: group[0] for group in doubtful for name in group}
        ids = ids.map(lambda name: first.get(name, name))
    spellings = written.groupby(ids.to_numpy()).unique()
    several = {str(name): sorted(map(str, found)) for name, found in spellings.items() if len(found) > 1}
    cases = cases.assign(patient_id=ids.astype(str))
    return images, cases, notes | ({"patient_spellings": several} if several else {})


def list_spellings(notes: dict[str, Any]) -> list[str]:
    """Lines for the `data` command: patients whose id is written in several ways, with what cannot be seen made visible.

    >>> list_spellings({"patient_spellings": {"Jos\u00e9": ["Jos\u00e9", "Jose\u0301"]}})[0].replace(chr(92), "/")
    "patient 'Jos/xe9' is written in 2 ways, which count as one: 'Jos/xe9', 'Jose/u0301'"
    """
    return [
        f"patient {name!a} is written in {len(found)} ways, which count as one: {', '.join(map(ascii, found[:SHOWN]))}"
        for name, found in notes.get("patient_spellings", {}).items()
    ]
