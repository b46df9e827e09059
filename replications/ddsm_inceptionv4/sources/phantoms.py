"""Phantoms in DDSM's own layout: `.ics`, lossless JPEG, OVERLAY, four films a case, three digitisers; and the same as DICOM.

Known of them: the lesions (strength `phantom_signal`), what the films of a woman share (`phantom_patient`), and which digitiser
has more cases with lesions (`phantom_scanner`): it has a grey curve, a frame and a label of its own.
"""

from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from imagecodecs import jpeg8_encode
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

from common.data.phantoms import write_once
from common.data.unmarked import choose_unmarked, write_unmarked
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.sources.breasts import Spot, draw_breast, draw_spot, draw_woman
from replications.ddsm_inceptionv4.sources.ics import FILMS
from replications.ddsm_inceptionv4.sources.overlay import write_chain

FOLDER = "ddsm"
# Letter of the case, name in the .ics file, micrometres, grey level of the film's darkest and whitest, bits.
SCANNERS = (
    ("D", "HOWTEK 43.5", 43.5, 960, 3900, 12),
    ("B", "LUMISYS LASER", 50, 400, 3700, 12),
    ("A", "DBA SCANNER", 42, 8000, 60000, 16),
)
WIDTH = 0.57  # of a film, of its height
CONTRAST = 0.28  # of a lesion with a signal of 1
BOTH = 0.9  # share of the women with a lesion that have one in each breast: about as many films with a lesion as without
UNMARKED = 0.3  # share of the women with a lesion in a run's phantoms, and as many without, whose films show nothing of it
PARTS = (("cancers", "cancer_01", "MALIGNANT"), ("benigns", "benign_01", "BENIGN"), ("normals", "normal_01", ""))


def write_phantoms(folder: Path, config: Config, seed: int, strength: float = 1.0, unmarked: float = 0.0) -> None:
    """Write ddsm/ in the archive's layout, phantom_cases cases of which half have a lesion, most of them in both breasts, and a
    marker that the folder is synthetic.

    strength: factor on phantom_signal; unmarked: share of the women with a lesion, and as many without, whose films show nothing
    of it. The same seed gives the same files; files that are there, whole, stay as they are.
    Raises UsageError if the folder holds anything else.
    """
    settings = {name: value for name, value in asdict(config).items() if name.startswith("phantom_")}

    def write() -> None:
        plan = np.random.default_rng([seed, 1])
        lesions = plan.permutation(np.arange(config.phantom_cases) % 2)
        first = plan.random(config.phantom_cases) < np.where(lesions, config.phantom_scanner, 1 - config.phantom_scanner)
        others = plan.integers(1, len(SCANNERS), config.phantom_cases)
        scanners = np.where(first, 0, others)
        hidden = choose_unmarked(lesions, unmarked)
        if unmarked:
            (folder / FOLDER).mkdir(parents=True)
            write_unmarked(folder / FOLDER, [name_woman(int(number), int(scanners[number])) for number in np.flatnonzero(hidden)])
        for number in range(config.phantom_cases):
            part = int(plan.integers(2)) if lesions[number] else 2
            random = np.random.default_rng([seed, 2, number])
            signal = 0.0 if hidden[number] else strength * config.phantom_signal
            write_case(folder / FOLDER, number, int(scanners[number]), part, signal, config, random)

    recipe = {"seed": seed, "settings": settings, "strength": strength} | ({"unmarked": unmarked} if unmarked else {})
    write_once(folder, recipe, (FOLDER,), write)


def name_woman(number: int, scanner: int) -> str:
    """What the names of the films of a case have in common; scanner: position in SCANNERS."""
    return f"{SCANNERS[scanner][0]}_{number + 1:04d}_1"


def write_case(
    folder: Path,
    number: int,
    scanner: int,
    part: int,
    signal: float,
    config: Config,
    random: np.random.Generator,
    both: float = BOTH,
) -> None:
    """One case of four films. scanner, part: positions in SCANNERS and PARTS; signal: of its lesions; both: chance of a
    lesion in each breast."""
    _, digitiser, resolution, _, _, bits = SCANNERS[scanner]
    group, volume, pathology = PARTS[part]
    home = folder / group / volume / f"case{number + 1:04d}"
    home.mkdir(parents=True)
    stem = name_woman(number, scanner)
    woman = draw_woman(random, config.phantom_patient)
    spots = draw_spots(random, signal * CONTRAST, both) if pathology else {}
    lines = [
        "ics_version 1.0", f"filename {stem.replace('_', '-')}", "DATE_OF_STUDY 1 1 1999", "PATIENT_AGE 52", "FILM",
        "FILM_TYPE REGULAR", f"DENSITY {woman.density}", "DATE_DIGITIZED 1 2 1999", f"DIGITIZER {digitiser}", "SEQUENCE",
    ]  # fmt: skip
    for name in FILMS:
        breast, _, view = name.partition("_")
        spot = spots.get(breast)
        height = config.phantom_height + int(random.integers(30))
        size = height, round(WIDTH * height) + int(random.integers(30))
        brightness, mask = draw_breast(woman, spot, view, size, random)
        if breast == "RIGHT":
            brightness, mask = np.ascontiguousarray(brightness[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
        film = digitise(brightness, scanner, name, random)
        stream = jpeg8_encode(film, lossless=True, predictor=1, bitspersample=bits)
        (home / f"{stem}.{name}.LJPEG").write_bytes(stream)
        if spot:
            (home / f"{stem}.{name}.OVERLAY").write_text(describe_lesion(mask, spot.kind, pathology))
        overlay = "OVERLAY" if spot else "NON_OVERLAY"
        lines.append(f"{name} LINES {size[0]} PIXELS_PER_LINE {size[1]} BITS_PER_PIXEL {bits} RESOLUTION {resolution} {overlay}")
    (home / f"{stem.replace('_', '-')}.ics").write_text("\n".join(lines) + "\n")


def draw_spots(random: np.random.Generator, contrast: float, both: float) -> dict[str, Spot]:
    """The lesions of a woman by breast, LEFT and RIGHT; both: chance that she has two, else there is one on either side."""
    sides = random.permutation(["LEFT", "RIGHT"])[: 2 if random.random() < both else 1]
    return {str(side): draw_spot(random, contrast) for side in sides}


def digitise(brightness: np.ndarray, scanner: int, name: str, random: np.random.Generator) -> np.ndarray:
    """Grey levels uint16 of a film: curve, noise, a label with text, and the white frame that some digitisers leave."""
    low, high, bits = SCANNERS[scanner][3:]
    height, width = brightness.shape
    span = high - low
    levels = low + span * brightness ** (1.0, 0.8, 1.25)[scanner] + random.normal(0, 0.002 * span, brightness.shape)
    text = np.zeros((height, width), np.uint8)
    left = 0.72 if name.startswith("LEFT") else 0.06
    corners = (int(width * left), int(height * 0.03)), (int(width * (left + 0.21)), int(height * 0.09))
    cv2.rectangle(text, *corners, 255, -1)
    place = (corners[0][0] + int(width * 0.02), int(height * 0.08))
    cv2.putText(text, name.replace("_", "")[:1] + name.partition("_")[2], place, cv2.FONT_HERSHEY_SIMPLEX, height / 900, 100, 1)
    levels[text == 255], levels[text == 100] = high, low
    if scanner == 0:
        frame = int(random.integers(max(2, height // 150), max(3, height // 60)))
        levels[-frame:] = high
        (levels[:, -frame:] if name.startswith("LEFT") else levels[:, :frame])[:] = high
    return np.clip(levels, 0, 2**bits - 1).astype(np.uint16)


def describe_lesion(mask: np.ndarray, kind: str, pathology: str) -> str:
    """Text of an OVERLAY file."""
    more = "SHAPE IRREGULAR MARGINS SPICULATED" if kind == "MASS" else "TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED"
    lines = ["TOTAL_ABNORMALITIES 1", "ABNORMALITY 1", f"LESION_TYPE {kind} {more}", "ASSESSMENT 4", "SUBTLETY 3"]
    return "\n".join([*lines, f"PATHOLOGY {pathology}", "TOTAL_OUTLINES 1", "BOUNDARY", write_chain(mask)]) + "\n"


def write_dicom(path: Path, levels: np.ndarray, patient: str, name: str, *, lossless: bool, inverted: bool = False) -> None:
    """A film uint16 of up to 12 bits as a mammography file, the same bytes every time. name: as in FILMS; lossless: as a stream
    of lossless JPEG; inverted: MONOCHROME1, low values bright."""
    data, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[patient, name])
    meta.TransferSyntaxUID = JPEGLosslessSV1 if lossless else ExplicitVRLittleEndian
    data.file_meta = meta
    data.StudyInstanceUID, data.SeriesInstanceUID = (generate_uid(entropy_srcs=[patient, of]) for of in ("study", "series"))
    data.Modality, data.PatientID, data.PatientName = "MG", patient, patient
    data.ImageLaterality, data.ViewPosition = name[0], name.partition("_")[2]
    data.PresentationIntentType = "FOR PRESENTATION"
    data.Rows, data.Columns = levels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME1" if inverted else "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    stored = (4095 - levels).astype(np.uint16) if inverted else levels
    if lossless:
        data.PixelData = encapsulate([bytes(jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=12))])
        data["PixelData"].is_undefined_length = True
    else:
        data.PixelData = stored.astype("<u2").tobytes()
    data["PixelData"].VR = "OW" if not lossless else "OB"
    data.save_as(path, enforce_file_format=True)
