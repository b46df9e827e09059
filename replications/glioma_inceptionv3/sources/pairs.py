"""Volumes with a mask each (NRRD or NIfTI) and a table of grades: a user's own folder, and the layouts of UCSF-PDGM and BraTS.

None of the public layouts was at hand: they are written down as published, and tested on files of the same layout.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.cases.table import hash_pixels
from common.data.folder import list_entries, resolve_inside, walk_files
from common.data.names import find_listed, fold_name, name_listed
from common.errors import UsageError
from replications.glioma_inceptionv3.config import Config
from replications.glioma_inceptionv3.sources.segments import ANY, read_lesion
from replications.glioma_inceptionv3.sources.subjects import Line, Listing, Slices, Subject, read_site, read_table

TABLE = "subjects.csv"
VOLUME = (".nrrd", ".nhdr", ".nii.gz", ".nii")
# Where a table names no files: the report's names (sec. 1.2), then others in use.
IMAGES = ("{0}/sample", "{0}/image", "{0}/{0}", "{0}")
MASKS = ("{0}/sample.seg", "{0}/mask", "{0}/{0}.seg", "{0}.seg", "{0}_mask", "{0}/label", "{0}-label", "{0}_label")
SEQUENCES = {  # ending of the file name, before .nii or .nii.gz, in lower case
    "post": ("_t1ce", "-t1c", "_t1gd", "_t1c_bias", "_t1c"),
    "flair": ("_flair_bias", "_flair", "-t2f"),
    "pre": ("_t1_bias", "_t1", "-t1n"),
}
SEGMENTATIONS = ("_tumor_segmentation", "_glistrboost_manuallycorrected", "_glistrboost", "_seg", "-seg")


def read_slices(folder: Path, image: Path, mask: Path, segment: str) -> Slices:
    """All axial slices of a volume, with the lesion's mask."""
    lesion = read_lesion(image, mask, folder, segment)
    count = len(lesion.planes)
    name = image.relative_to(folder).as_posix()
    hashes = [hash_pixels(plane) if mask.any() else "" for plane, mask in zip(lesion.planes, lesion.masks, strict=True)]
    return Slices(lesion.planes, lesion.masks, lesion.spacing, count, list(range(count)), [name] * count, hashes)


def list_own(folder: Path, config: Config) -> Listing:
    """A user's folder: subjects.csv (subject, grade and, where given, image, mask, site, segment), volumes inside it."""
    listing = Listing()
    for line in read_table(folder / TABLE, listing, "subject", "grade", ("image", "mask", "site", "segment")):
        try:
            image = _locate(folder, line, "image", IMAGES)
            mask = _locate(folder, line, "mask", MASKS)
        except UsageError as error:
            listing.faults.append(f"{line.where}: {error}")
            continue
        read = functools.partial(read_slices, folder, image, mask, line.more["segment"] or config.segment)
        listing.subjects.append(Subject(line.subject, line.grade, read_site(line.subject, line.more["site"]), read))
    return listing


def _locate(folder: Path, line: Line, what: str, patterns: Sequence[str]) -> Path:
    """The file that a table names, or the one that has a known name."""
    if line.more[what]:
        path = find_listed(folder, line.more[what])
        if not path.is_file():
            raise UsageError(f"{line.more[what][:80]!r}: no such file for the {what} of {line.subject[:40]!r}")
        return path
    names = [pattern.format(line.subject) + end for pattern in patterns for end in VOLUME]
    for name in names:
        if (path := resolve_inside(folder, name_listed(folder, name))).is_file():
            return path
    raise UsageError(f"no {what} of {line.subject[:40]!r}: neither a column {what} nor a file {names[0][:60]!r} or the like")


def list_ucsf(folder: Path, config: Config) -> Listing:
    """UCSF-PDGM (Calabrese et al. 2022): UCSF-PDGM-metadata*.csv (ID, WHO CNS Grade) and <ID>_nifti/<ID>_*.nii.gz.

    The table writes ids with three digits, the folders with four; follow-ups (<ID>_FU...) are other examinations and not used.
    """
    tables = [path for path in list_entries(folder, ".csv") if path.name.startswith("UCSF-PDGM-metadata")]
    if len(tables) != 1:
        raise UsageError(f"{folder}: {len(tables) or 'no'} UCSF-PDGM-metadata*.csv; exactly one is needed")
    listing = Listing()
    lines = read_table(tables[0], listing, "ID", "WHO CNS Grade")
    files = [path for path in walk_files(folder) if path.name.lower().endswith(".nii.gz") and "_FU" not in path.name]
    return _pair(folder, lines, files, listing, config, _number_ucsf)


def _number_ucsf(name: str) -> str:
    match = re.match(r"UCSF-PDGM-0*([0-9]+)(?![0-9])", name, re.IGNORECASE)
    return f"UCSF-PDGM-{match[1].zfill(4)}" if match and not re.search("_FU", name) else name


def list_brats(folder: Path, config: Config) -> Listing:
    """BraTS and the TCIA segmentations of TCGA-LGG and TCGA-GBM: a folder a subject with <subject>_<sequence>.nii.gz.

    BraTS publishes no WHO grade (name_mapping.csv says HGG or LGG, and HGG is III or IV): grades.csv (subject, grade and, where
    known, site) is the user's, from the clinical tables of TCGA.
    """
    listing = Listing()
    lines = read_table(folder / "grades.csv", listing, "subject", "grade", ("site",))
    files = [path for path in walk_files(folder) if path.name.lower().endswith((".nii", ".nii.gz"))]
    return _pair(folder, lines, files, listing, config, str)


def _pair(folder: Path, lines: Iterable[Line], files: list[Path], listing: Listing, config: Config, key) -> Listing:
    """Image and mask of every line from the files whose folder or name begins with the subject; one sequence for all."""
    stems = [(path, re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE).lower()) for path in files]
    places: dict[str, list[tuple[Path, str]]] = {}
    for path, stem in stems:
        places.setdefault(fold_name(key(path.parent.name.removesuffix("_nifti"))), []).append((path, stem))
    found: dict[Line, tuple[Path, dict[str, Path]]] = {}
    for line in lines:
        near = places.get(fold_name(key(line.subject)), [])
        masks = [path for end in SEGMENTATIONS for path, stem in near if stem.endswith(end)]
        fits = {name: [path for end in ends for path, stem in near if stem.endswith(end)] for name, ends in SEQUENCES.items()}
        if not near or not masks:
            listing.faults.append(f"{line.where}: no {'segmentation' if near else 'folder'} of {line.subject[:40]!r}")
            continue
        found[line] = (masks[0], {name: paths[0] for name, paths in fits.items() if paths})
    everyone = [images for _, images in found.values()]
    listing.sequence = choose_sequence(config, [name for name in SEQUENCES if all(name in images for images in everyone)])
    for line, (mask, images) in found.items():
        if listing.sequence not in images:
            listing.faults.append(f"{line.where}: {line.subject[:40]!r} has no sequence {listing.sequence!r}")
            continue
        read = functools.partial(read_slices, folder, images[listing.sequence], mask, config.segment or ANY)
        listing.subjects.append(Subject(line.subject, line.grade, read_site(line.subject, line.more.get("site", "")), read))
    return listing


def choose_sequence(config: Config, common: Sequence[str]) -> str:
    """The one sequence that all subjects are read in; common: those that all of them have.

    Raises UsageError for a setting that is no sequence.

    >>> choose_sequence(Config(), ["flair", "pre"]), choose_sequence(Config(), ["post", "flair"]), choose_sequence(Config(), [])
    ('flair', 'post', 'post')
    """
    if config.sequence not in ("auto", *SEQUENCES):
        raise UsageError(f"sequence {config.sequence!r} is none of auto, {', '.join(SEQUENCES)}")
    return config.sequence if config.sequence != "auto" else next((name for name in ("post", "flair") if name in common), "post")
