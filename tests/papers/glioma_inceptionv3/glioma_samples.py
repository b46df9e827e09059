"""Small volumes in every layout that the readers know, written byte by byte: what is in them is known without the readers."""

import csv
import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

# The small brain of most tests: 8 slices of 5 x 6 voxels of 1 x 1 x 5 mm; its lesion lies in slices 3 to 5.
SHAPE, SPACING = (8, 5, 6), (1.0, 1.0, 5.0)
TYPES = {"u1": "unsigned char", "i2": "short", "i4": "int", "f4": "float", "f8": "double"}


def draw_brain() -> np.ndarray:
    """int16 SHAPE: no value twice."""
    return (np.arange(240, dtype=np.int16) * 3 + 7).reshape(SHAPE)


def draw_lesion() -> np.ndarray:
    """uint8 SHAPE: 6, 4 and 2 voxels in slices 3, 4 and 5, off the middle: no flip goes unseen."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 1:3, 1:4] = mask[4, 1:3, 1:3] = mask[5, 1:3, 1] = 1
    return mask


def write_nrrd(
    path: Path,
    voxels: np.ndarray,
    *,
    axes: str = "xyz",
    flips: str = "",
    space: str = "left-posterior-superior",
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    spacing: tuple[float, float, float] = SPACING,
    endian: str = "little",
    encoding: str = "raw",
    newline: str = "\n",
    data_file: str = "",
    pairs: dict[str, object] | None = None,
    drop: tuple[str, ...] = (),
    **changed: str,
) -> Path:
    """Write voxels that are given as (z, y, x), or (layer, z, y, x), in LPS, with their first voxel at `origin`.

    axes: order of the axes in the file, the fastest first: "xyz", "zyx", ..., with "l" for the layers; flips: those that run
    backwards in the file. The header says so: the volume lies where it lay. drop: fields left out; changed: fields replaced.
    """
    names = ("l" if voxels.ndim == 4 else "") + "zyx"
    if voxels.ndim == 4 and "l" not in axes:
        axes = "l" + axes
    signs = {"left-posterior-superior": (1, 1, 1), "right-anterior-superior": (-1, -1, 1)}[space]
    first, directions = list(origin), {}
    for place, name in enumerate("xyz"):
        step = spacing[place]
        if name in flips:
            first[place] += (voxels.shape[names.index(name)] - 1) * step
            step = -step
        vector = [0.0, 0.0, 0.0]
        vector[place] = step * signs[place]
        directions[name] = "(" + ",".join(f"{value:g}" for value in vector) + ")"
    directions["l"] = "none"
    turned = np.flip(voxels, [names.index(name) for name in flips]).transpose([names.index(name) for name in axes[::-1]])
    raw = np.ascontiguousarray(turned.astype(voxels.dtype.newbyteorder("<" if endian == "little" else ">"))).tobytes()
    fields = {
        "type": TYPES[voxels.dtype.str[1:]],
        "dimension": str(len(axes)),
        "space": space,
        "sizes": " ".join(str(voxels.shape[names.index(name)]) for name in axes),
        "space directions": " ".join(directions[name] for name in axes),
        "kinds": " ".join("list" if name == "l" else "domain" for name in axes),
        "endian": endian,
        "encoding": encoding,
        "space origin": "(" + ",".join(f"{value * sign:g}" for value, sign in zip(first, signs, strict=True)) + ")",
    }
    if data_file:
        fields["data file"] = data_file
    fields |= {name.replace("_", " "): value for name, value in changed.items()}
    lines = ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items() if name not in drop)]
    lines += [f"{name}:={value}" for name, value in (pairs or {}).items()]
    content = gzip.compress(raw, mtime=0) if encoding in ("gzip", "gz") else raw
    header = (newline.join(lines) + newline * 2).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if data_file:
        (path.parent / data_file).write_bytes(content)
        path.write_bytes(header)
    else:
        path.write_bytes(header + content)
    return path


def describe_segments(*segments: tuple[str, int, int], extent: str = "0 5 0 4 0 7") -> dict[str, object]:
    """key:=value pairs of 3D Slicer for segments (name, layer, label value); the extent is that of the whole segmentation."""
    pairs: dict[str, object] = {"Segmentation_ReferenceImageExtentOffset": "0 0 0"}
    for number, (name, layer, value) in enumerate(segments):
        described = {"ID": f"Segment_{number + 1}", "Name": name, "LabelValue": value, "Layer": layer, "Extent": extent}
        pairs |= {f"Segment{number}_{key}": value for key, value in described.items()}
    return pairs


def write_nifti(path: Path, voxels: np.ndarray, *, form: int = 1, order: str = "<", spacing=SPACING, extra: bytes = b"") -> Path:
    """Write voxels (z, y, x) in LPS at the origin as NIfTI-1 (whose space is RAS), packed where the name ends in .gz."""
    codes = {"u1": (2, 8), "i2": (4, 16), "f4": (16, 32), "f8": (64, 64)}
    header = bytearray(348)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, 3, *voxels.shape[::-1], 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", header, 70, *codes[voxels.dtype.str[1:]])
    struct.pack_into(f"{order}8f", header, 76, 1.0, *spacing, 0, 0, 0, 0)
    struct.pack_into(f"{order}f", header, 108, 352.0)
    struct.pack_into(f"{order}2h", header, 252, 0, form)
    rows = np.diag([-spacing[0], -spacing[1], spacing[2]])
    for row in range(3):
        struct.pack_into(f"{order}4f", header, 280 + 16 * row, *rows[row], 0.0)
    header[344:348] = b"n+1\0"
    raw = bytes(header) + b"\0" * 4 + np.ascontiguousarray(voxels.astype(voxels.dtype.newbyteorder(order))).tobytes() + extra
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw, mtime=0) if path.name.endswith(".gz") else raw)
    return path


def write_subjects(folder: Path, lines: list[list[str]], header: str = "subject,grade") -> None:
    """subjects.csv of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "subjects.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header.split(","), *lines])


def write_pairs(folder: Path, grades: list[str]) -> None:
    """A user's folder: for every grade a subject s0, s1, ... with an image of 24x20x6 and a segment "tumor" in slices 1 to 4."""
    random = np.random.default_rng(0)
    for number in range(len(grades)):
        image = random.integers(0, 1000, (6, 10, 12)).repeat(2, axis=1).repeat(2, axis=2).astype(np.int16)
        mask = np.zeros(image.shape, np.uint8)
        mask[1:5, 4:16, 6 : 18 + number % 3] = 1
        write_nrrd(folder / f"s{number}" / "sample.nrrd", image, encoding="gzip")
        write_nrrd(folder / f"s{number}" / "sample.seg.nrrd", mask, encoding="gzip", pairs=describe_segments(("tumor", 0, 1)))
    write_subjects(folder, [[f"s{number}", grade] for number, grade in enumerate(grades)])


def write_collection(folder: Path, *, prepared: bool, patients: int = 4) -> None:
    """The published slices in either layout: patients of sites CS and DU by turns, of grades II and III by halves, with four
    slices of 40x30 each, of which the second and third have a lesion. Red, green, blue of a slice lie in different ranges."""
    random = np.random.default_rng(1)
    grades, slices = [], []
    for number in range(patients):
        name = f"TCGA_{'CS' if number % 2 else 'DU'}_{4000 + number}"
        grades.append([name, "1", str(1 + 2 * number // patients)])
        for place in range(1, 5):
            noise = random.integers(0, 60, (20, 15, 3)).repeat(2, axis=0).repeat(2, axis=1)
            picture = (noise + (10, 80, 160)).astype(np.uint8)
            mask = np.zeros((40, 30), np.uint8)
            if place in (2, 3):
                mask[10:25, 5 : 15 + place] = 255
            elif prepared:
                continue
            stem = f"{name}_20000101_{place}"
            names = (f"kaggle_3m/{name}_20000101/{stem}.tif", f"kaggle_3m/{name}_20000101/{stem}_mask.tif")
            names = (f"images/{stem}.png", f"masks/{stem}.png") if prepared else names
            for path, pixels in zip((folder / one for one in names), (picture, mask), strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
            slices.append([*names, name, place, 4])
    tables = {"data.csv": [["Patient", "histological_type", "neoplasm_histologic_grade"], *grades]}
    if prepared:
        tables["slices.csv"] = [["path", "mask", "patient", "slice", "n_slices"], *slices]
    for name, lines in tables.items():
        place = folder if prepared else folder / "kaggle_3m"
        with (place / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
