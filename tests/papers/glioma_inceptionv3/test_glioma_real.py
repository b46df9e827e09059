"""Real files, where they are at hand: volumes with masks and segments of 3D Slicer, odd NRRD files, the published slices."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.cases.sources import Source
from common.errors import UsageError
from replications.glioma_inceptionv3 import data
from replications.glioma_inceptionv3.config import PAPER, SMOKE
from replications.glioma_inceptionv3.slices import select_slices
from replications.glioma_inceptionv3.sources import lgg
from replications.glioma_inceptionv3.sources.segments import read_lesion
from replications.glioma_inceptionv3.sources.volumes import orient, read_volume

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def real() -> Path:
    """$REPLICATIONS_DATA/glioma_inceptionv3, or skip."""
    folder = Path(os.environ.get("REPLICATIONS_DATA", "")) / "glioma_inceptionv3"
    if not os.environ.get("REPLICATIONS_DATA") or not folder.is_dir():
        pytest.skip("needs the real images: set REPLICATIONS_DATA to the folder that holds glioma_inceptionv3/")
    return folder


def list_areas(image: Path, mask: Path, wanted: str = "") -> dict[int, int]:
    areas = read_lesion(image, mask, image.parent, wanted).masks.sum(axis=(1, 2))
    return {int(place): int(areas[place]) for place in np.flatnonzero(areas)}


def test_a_label_map_and_its_segment_are_the_same_lesion(real):
    folder = real / "volumes"
    by_label, by_segment = (
        list_areas(folder / "brain1_image.nrrd", folder / f"brain1_label.{end}") for end in ("nrrd", "seg.nrrd")
    )
    assert by_label == by_segment == {11: 378, 12: 524, 13: 626, 14: 247, 15: 842, 16: 984, 17: 536}
    kept = select_slices(np.array(list(by_label.values())), PAPER)
    assert len(kept) == 7


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("right lung", 7, 33), ("4", 7, 33), ("Segment_5", 7, 33), ("lumbar vertebral column", 0, 12), ("3", 0, 12)],
)
def test_segments_of_a_file_of_3d_slicer(real, wanted, first, last):
    """Segment*_Extent says 0 to 33 of all seven."""
    folder = real / "volumes"
    areas = list_areas(folder / "CTChest4.nrrd", folder / "Segmentation.seg.nrrd", wanted)
    assert (min(areas), max(areas)) == (first, last)


def test_a_segment_must_be_named_where_none_is_a_lesion(real):
    folder = real / "volumes"
    with pytest.raises(UsageError, match="4 'right lung', 5 'left lung'"):
        list_areas(folder / "CTChest4.nrrd", folder / "Segmentation.seg.nrrd")


@pytest.mark.parametrize("image", ["1_bigendian.nrrd", "2_detached.nhdr"])
@pytest.mark.parametrize("mask", ["3_one_layer.seg.nrrd", "4_four_d_none.seg.nrrd", "5_cropped.seg.nrrd"])
def test_odd_files(real, image, mask):
    folder = real / "edge_cases"
    assert list_areas(folder / image, folder / mask) == {3: 6, 4: 6, 5: 6}


def test_odd_files_have_the_same_voxels(real):
    folder = real / "edge_cases"
    big, detached, sagittal = (
        orient(read_volume(folder / name, folder).image)[0]
        for name in ("1_bigendian.nrrd", "2_detached.nhdr", "6_sagittal_ras.nrrd")
    )
    np.testing.assert_array_equal(big, detached)
    np.testing.assert_array_equal(big, sagittal[:, ::-1, ::-1])  # its space is RAS with positive directions: the other way


def test_a_cut_file_is_refused(real):
    folder = real / "edge_cases"
    with pytest.raises(UsageError, match="damaged or cut"):
        list_areas(folder / "1_bigendian.nrrd", folder / "9_truncated.seg.nrrd")


# The published slices


def test_published_slices_in_their_prepared_layout(real):
    """Patients, slices and what the area filter keeps, as the table beside the slices says; sites of two grades."""
    folder = real / "lgg_mri_segmentation"
    listing = lgg.list_lgg(folder, PAPER)
    assert (len(listing.subjects), listing.listed, listing.sequence, listing.faults) == (109, 110, "flair", [])
    assert [sum(subject.grade == grade for subject in listing.subjects) for grade in ("II", "III", "IV")] == [51, 58, 0]
    table = lgg._read_prepared(folder / "slices.csv")
    few = [subject for subject in listing.subjects if subject.name in ("TCGA_CS_4941", "TCGA_DU_7304", "TCGA_HT_A61A")]
    for subject in few:
        slices = subject.read()
        assert slices.total == table["total"][table["patient"] == subject.name].iloc[0]
        assert slices.planes.shape[1:] == (256, 256)
        assert subject.site == subject.name.split("_")[1]


def test_the_area_filter_keeps_what_the_table_of_the_slices_says(real):
    """The column keep, which was computed elsewhere by the same rule."""
    from common.data.csv_files import read_csv_table

    columns = {"patient": str, "slice": int, "area": int, "keep": int}
    table = read_csv_table(real / "lgg_mri_segmentation" / "slices.csv", columns)
    for _, group in table.groupby("patient"):
        kept = np.zeros(len(group), int)
        kept[select_slices(group["area"].to_numpy(), PAPER)] = 1
        assert kept.tolist() == group["keep"].tolist()


def test_both_layouts_of_the_published_slices_agree(real, tmp_path):
    """The same two patients as published (TIFF) and as prepared (JPEG, quality 92)."""
    with zipfile.ZipFile(real / "lgg_mri_segmentation" / "original_sample" / "kaggle_3m_sample.zip") as archive:
        archive.extractall(tmp_path)
    names = sorted(path.name.rsplit("_", 1)[0] for path in (tmp_path / "kaggle_3m").glob("TCGA_*"))
    lines = [f"{name},1,{2 - place}\n" for place, name in enumerate(names)]
    (tmp_path / "kaggle_3m" / "data.csv").write_text("Patient,histological_type,neoplasm_histologic_grade\n" + "".join(lines))
    published = {one.name: one.read() for one in lgg.list_lgg(tmp_path, PAPER).subjects}
    prepared = {one.name: one for one in lgg.list_lgg(real / "lgg_mri_segmentation", PAPER).subjects}
    assert set(published) == set(names)
    assert len(names) == 2
    for name, slices in published.items():
        other = prepared[name].read()
        assert slices.numbers == other.numbers
        assert slices.total == other.total
        np.testing.assert_array_equal(slices.masks, other.masks)
        assert np.abs(slices.planes - other.planes).mean() < 3


def test_a_volume_with_a_table_is_a_source(real, tmp_path):
    """One real volume under three grades in three subjects: its slices are one picture with several labels, so all are faults."""
    for number in range(2):
        (tmp_path / f"p{number}").mkdir()
        for name, end in (("brain1_image.nrrd", "sample.nrrd"), ("brain1_label.seg.nrrd", "sample.seg.nrrd")):
            (tmp_path / f"p{number}" / end).write_bytes((real / "volumes" / name).read_bytes())
    (tmp_path / "subjects.csv").write_text("subject,grade\np0,II\np1,G4\n")
    _, cases, notes = data.read_source(Source("own", tmp_path, "own", False), replace(SMOKE), "crop")
    assert len(cases) == 0
    assert len(notes["faults"]) == 7
    assert all("the same picture has both labels" in fault for fault in notes["faults"])
