"""Faulty data folders of the lung and hip comparison: what is done to a whole one, and the words that have to name it."""

import os
import shutil
from pathlib import Path

from hostile import edit
from lung_hip_samples import save_jpeg

from replications.lung_hip_compare.config import PAPER
from replications.lung_hip_compare.sources import luna16

PATIENTS = ['"NA"', '"=1+1"', '"Ä ""x"", y"', " 007", "8"]  # as cells of a CSV file; all different people


def write_hips(folder: Path):
    """16 pictures of 60x50 with a crop box each, every second one with a fracture; odd names of patients."""
    lines = ["path,label,patient,side,x0,y0,x1,y1\n"]
    for index in range(16):
        save_jpeg(folder / "hips" / f"p{index}.jpg", (60, 50), seed=100 + index)
        patient = PATIENTS[index] if index < len(PATIENTS) else f"patient {index}"
        lines.append(f"p{index}.jpg,{index % 2},{patient},R,10,5,40,45\n")
    (folder / "hips" / "cases.csv").write_text("".join(lines))


# Ready patches


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_link(path: Path, target: Path):
    path.unlink()
    path.symlink_to(target)


def link_out(path: Path):
    outside = path.parents[2] / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


LIST = "traindatalabels.txt"
PATCH_FAULTS = {  # what is done to luna16_patches/, and the words that have to name it
    "truncated": (lambda f: truncate(f / "train/image_100.jpg"), ["train/image_100.jpg", "damaged"]),
    "wrong size": (lambda f: save_jpeg(f / "train/image_200.jpg", (64, 64)), ["train/image_200.jpg", "64x64"]),
    "text": (lambda f: (f / "train/image_300.jpg").write_text("hello"), ["train/image_300.jpg", "not a JPEG"]),
    "link to itself": (
        lambda f: replace_by_link(f / "train/image_400.jpg", Path("image_400.jpg")),
        ["train/image_400.jpg", "link"],
    ),
    "folder": (
        lambda f: ((f / "train/image_600.jpg").unlink(), (f / "train/image_600.jpg").mkdir()),
        ["train/image_600.jpg", "folder"],
    ),
    "link out": (lambda f: link_out(f / "train/image_700.jpg"), ["train/image_700.jpg", "link out of the data folder"]),
    "parent": (
        lambda f: edit(f / LIST, "train/image_800.jpg", "train/../../../secret.jpg"),
        [f"{LIST} line 9", "train/../../../secret.jpg"],
    ),
    "label": (lambda f: edit(f / LIST, "train/image_900.jpg 0", "train/image_900.jpg 7"), [f"{LIST} line 10", "'7'"]),
    "binary": (lambda f: edit(f / LIST, "train/image_1100.jpg", "\0\x1b[2J"), [f"{LIST} line 12", "found"]),
    "both labels in two files": (
        lambda f: shutil.copy(f / "train/image_1000.jpg", f / "train/image_1200.jpg"),
        ["train/image_1000.jpg", "train/image_1200.jpg", "both labels"],
    ),
    "listed with both labels": (
        lambda f: edit(f / LIST, "train/image_1400.jpg 0\n", "train/image_1400.jpg 0\ntrain/image_1400.jpg 1\n"),
        [f"{LIST} line 16", "row 1400", "both labels"],
    ),
    "number of another form": (
        lambda f: edit(f / LIST, "train/image_1600.jpg 0", "train/image_01700.jpg 0"), [f"{LIST} line 17", "01700"]
    ),
    "in both lists": (
        lambda f: (
            edit(f / "testdatalabels.txt", "test/image_4100.jpg", "test/image_1300.jpg"),
            (f / "test/image_4100.jpg").rename(f / "test/image_1300.jpg"),
        ),
        ["test/image_1300.jpg", "another list"],
    ),
}  # fmt: skip


# A user's radiographs

TABLE = "cases.csv"
HIP_FAULTS = {
    "label": (lambda f: edit(f / TABLE, "p1.jpg,1", "p1.jpg,7"), ["cases.csv line 3", "'7'"]),
    "box outside": (lambda f: edit(f / TABLE, "patient 12,R,10,5,40,45", "patient 12,R,10,5,61,45"),
                    ["p12.jpg", "leaves the picture of 60x50"]),
    "parent": (lambda f: edit(f / TABLE, "p3.jpg", "../../secret.jpg"), ["'../../secret.jpg'", "leaves the data folder"]),
    "link out": (lambda f: link_out(f / "p4.jpg"), ["p4.jpg", "link out of the data folder"]),
    "link to itself": (lambda f: replace_by_link(f / "p4.jpg", Path("p4.jpg")), ["p4.jpg", "link"]),
    "absolute": (lambda f: edit(f / TABLE, "p3.jpg", "/etc/passwd"), ["'/etc/passwd'", "is an absolute path"]),
    "lines in a name": (
        lambda f: edit(f / TABLE, "p3.jpg", '"p3\nerror: all is well\x1b[2J.jpg"'), ["p3\\nerror", "control characters"]
    ),
    "lines in two names": (
        lambda f: [edit(f / TABLE, f"p{n}.jpg,{n % 2}", f'"p\nx.jpg",{n % 2}') for n in (5, 7)]
        + [edit(f / TABLE, "patient 7,R", "patient 7,L")],
        ["'p\\nx.jpg'", "2 patients"],
    ),
    "control character in a patient": (
        lambda f: edit(f / TABLE, "patient 8", "a\x07b"),
        ["cases.csv line 10", "'a\\x07b'", "control"],
    ),
    "side": (lambda f: edit(f / TABLE, ",R,", ",above,"), ["cases.csv line 2", "'above'"]),
    "box in words": (
        lambda f: edit(f / TABLE, "10,5,40,45", "10,5,40,\u0664\u0665"),
        ["cases.csv line 2", "box '10,5,40,", "not four whole numbers"],
    ),
    "listed with both labels": (lambda f: edit(f / TABLE, "p3.jpg,1", "p2.jpg,1"), ["cases.csv line 5", "p2.jpg", "both labels"]),
    "missing column": (lambda f: edit(f / TABLE, "patient", "person"), ["cases.csv:1", "no column patient"]),
    "double column": (lambda f: edit(f / TABLE, "side", "x0"), ["cases.csv:1", "x0 occurs twice"]),
    "NUL bytes": (lambda f: edit(f / TABLE, "p6.jpg", "p6\0.jpg"), ["cases.csv:8", "NUL"]),
    "UTF-16": (lambda f: (f / TABLE).write_text((f / TABLE).read_text(), "utf-16"), ["cases.csv:1"]),
    "endless line": (lambda f: edit(f / TABLE, "p6.jpg", "p" * 70_000), ["cases.csv:8", "more than 65536 bytes"]),
    "empty": (lambda f: (f / TABLE).write_text(""), ["cases.csv:1", "no column path"]),
    "no lines": (lambda f: (f / TABLE).write_text("path,label,patient\n"), ["hips"]),
}  # fmt: skip
OF_THE_TABLE = {"missing column", "double column", "NUL bytes", "UTF-16", "endless line", "empty", "no lines"}


# Scans


def list_used(folder: Path) -> dict[str, list[int]]:
    """Rows of candidates.csv that become training or test patches, by scan, scans in order."""
    table = luna16.read_candidates(folder / "candidates.csv")
    chosen = luna16.choose_candidates(table["class"].to_numpy(), PAPER)
    rows = table.loc[sorted([*chosen["train"], *chosen["test"]]), "seriesuid"]
    return {scan: list(group.index) for scan, group in sorted(rows.groupby(rows))}


def find_header(folder: Path, index: int) -> Path:
    return sorted(folder.glob("subset*/*.mhd"))[index]


def cut_voxels(folder: Path) -> list[str]:
    path = find_header(folder, 0)
    os.truncate(path.with_suffix(".raw"), 1000)
    return [path.name, "has 1000"]


def claim_much(folder: Path) -> list[str]:
    path = find_header(folder, 1)
    edit(path, "DimSize = 176 160 20", "DimSize = 65535 65535 65535")
    return [path.name, "claims"]


def claim_more(folder: Path) -> list[str]:
    path = find_header(folder, 2)
    edit(path, "DimSize = 176 160 20", "DimSize = 176 160 9999999999999999")
    return [path.name, "DimSize"]


def lead_out(folder: Path) -> list[str]:
    path = find_header(folder, 3)
    edit(path, f"{path.stem}.raw", "../../../../../etc/passwd")
    return [path.name, "leaves the folder"]


def change_candidate(folder: Path, index: int, column: int, text: str) -> int:
    """Change one cell of the first used candidate of a scan; its line."""
    line = list(list_used(folder).values())[index][0] + 1
    lines = (folder / "candidates.csv").read_text().splitlines()
    cells = lines[line].split(",")
    cells[column] = text
    lines[line] = ",".join(cells)
    (folder / "candidates.csv").write_text("\n".join(lines) + "\n")
    return line + 1


def name_unknown_scan(folder: Path) -> list[str]:
    line = change_candidate(folder, 4, 0, "1.2.3" + "x" * 3000)
    return [f"candidates.csv line {line}", "1.2.3xxx", "subset0/ to subset9/"]


def leave_scan(folder: Path) -> list[str]:
    line = change_candidate(folder, 5, 1, "1e308")
    return [f"candidates.csv line {line}", "outside the scan"]


def pipe_header(folder: Path) -> list[str]:
    path = find_header(folder, 6)
    path.unlink()
    os.mkfifo(path)
    return [path.name, "not a file"]


SCAN_FAULTS = {
    "truncated voxels": cut_voxels,
    "huge size": claim_much,
    "absurd size": claim_more,
    "voxels outside": lead_out,
    "unknown scan": name_unknown_scan,
    "candidate outside": leave_scan,
    "a pipe": pipe_header,
}
