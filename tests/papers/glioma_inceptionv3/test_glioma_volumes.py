"""Volumes and masks: every layout of a file gives the same slices; what cannot be read, or does not fit, is said in one line."""

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest
from glioma_samples import SHAPE, describe_segments, draw_brain, draw_lesion, write_nifti, write_nrrd

from common.errors import UsageError
from replications.glioma_inceptionv3.sources import nrrd, volumes
from replications.glioma_inceptionv3.sources.segments import choose_segment, choose_values, list_segments, read_lesion
from replications.glioma_inceptionv3.sources.volumes import orient, read_volume

AREAS = [0, 0, 0, 6, 4, 2, 0, 0]


def read_planes(path: Path) -> np.ndarray:
    return orient(read_volume(path, path.parent).image)[0]


def read_areas(mask: Path, wanted: str = "") -> list[int]:
    """Areas of the lesion in the slices of the small brain, whose outline is checked as well where it is the usual one."""
    image = write_nrrd(mask.parent / "image.nrrd", draw_brain())
    lesion = read_lesion(image, mask, mask.parent, wanted)
    if lesion.masks.sum() == draw_lesion().sum():
        np.testing.assert_array_equal(lesion.masks, draw_lesion().astype(bool))
    return lesion.masks.sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"endian": "big"},
        {"encoding": "gzip"},
        {"encoding": "gz", "endian": "big"},
        {"newline": "\r\n"},
        {"newline": "\r\n", "encoding": "gzip"},
        {"data_file": "voxels.raw"},
        {"data_file": "voxels.raw.gz", "encoding": "gzip"},
        {"space": "right-anterior-superior"},
        {"drop": ("kinds",)},
        {"kinds": "space space space"},
    ],
)
def test_layouts_of_an_image_give_the_same_voxels(tmp_path, layout):
    np.testing.assert_array_equal(read_planes(write_nrrd(tmp_path / "a.nrrd", draw_brain(), **layout)), draw_brain())


@pytest.mark.parametrize("axes", ["".join(order) for order in itertools.permutations("xyz")])
@pytest.mark.parametrize("flips", ["", "x", "yz", "xyz"])
@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
def test_every_order_and_direction_of_the_axes_gives_axial_slices(tmp_path, axes, flips, space):
    path = write_nrrd(tmp_path / "a.nrrd", draw_brain(), axes=axes, flips=flips, space=space)
    np.testing.assert_array_equal(read_planes(path), draw_brain())
    assert orient(read_volume(path, tmp_path).image)[1] == pytest.approx((1, 1))


def test_spacing_is_that_of_rows_and_columns(tmp_path):
    path = write_nrrd(tmp_path / "a.nrrd", draw_brain(), axes="zxy", spacing=(0.5, 2.0, 7.0))
    assert orient(read_volume(path, tmp_path).image)[1] == pytest.approx((2.0, 0.5))


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti(tmp_path, dtype, order):
    voxels = (draw_brain() % 250).astype(dtype)
    for name in ("a.nii", "a.nii.gz"):
        np.testing.assert_array_equal(read_planes(write_nifti(tmp_path / name, voxels, order=order)), voxels)


# Masks


@pytest.mark.parametrize("axes", ["lxyz", "xyzl", "xlyz", "xylz", "zlyx"])
@pytest.mark.parametrize("kinds", ["list", "vector"])
def test_layers_of_overlapping_segments(tmp_path, axes, kinds):
    """The list axis may be any; the brain, in a layer of its own, covers the lesion."""
    both = np.stack([np.ones(SHAPE, np.uint8), draw_lesion()])
    named = " ".join(kinds if name == "l" else "domain" for name in axes)
    pairs = describe_segments(("brain", 0, 1), ("tumor", 1, 1))
    mask = write_nrrd(tmp_path / "a.seg.nrrd", both, axes=axes, encoding="gzip", pairs=pairs, kinds=named)
    assert read_areas(mask) == AREAS
    assert read_areas(mask, "brain") == [30] * 8


def test_one_layer_of_several_segments_is_told_apart_by_label_value(tmp_path):
    labels = np.where(draw_lesion(), 7, 3).astype(np.uint8)
    mask = write_nrrd(tmp_path / "a.seg.nrrd", labels, pairs=describe_segments(("brain", 0, 3), ("Tumour", 0, 7)))
    assert read_areas(mask) == read_areas(mask, "TUMOUR") == read_areas(mask, "1") == read_areas(mask, "Segment_2") == AREAS
    assert read_areas(mask, "brain") == [30 - area for area in AREAS]


def test_segments_of_old_files_have_a_layer_each_and_no_values(tmp_path):
    both = np.stack([np.ones(SHAPE, np.uint8), draw_lesion()])
    pairs = {"Segment0_ID": "a", "Segment0_Name": "brain", "Segment1_ID": "b", "Segment1_Name": "lesion"}
    assert read_areas(write_nrrd(tmp_path / "a.seg.nrrd", both, pairs=pairs)) == AREAS


@pytest.mark.parametrize(
    ("segments", "wanted", "message"),
    [
        ([("a", 0, 1), ("b", 0, 2)], "", "no segments may be the lesion; give the name or number of one: 0 'a', 1 'b'"),
        ([("tumor", 0, 1), ("tumor", 0, 2)], "", "2 segments may be the lesion"),
        ([("tumor", 0, 1), ("tumor", 0, 2)], "tumor", "2 segments are called 'tumor'"),
        ([("tumor", 0, 1)], "oedema", "no segments are called 'oedema'"),
        ([("tumor", 3, 1)], "", "said to lie in layer 3; the file has 1"),
        ([("tumor", 0, "x")], "", "numbers are needed"),
        ([("tumor", 0, 9)], "", "the mask is empty"),
    ],
)
def test_segments_that_are_no_choice(tmp_path, segments, wanted, message):
    mask = write_nrrd(tmp_path / "a.seg.nrrd", draw_lesion(), pairs=describe_segments(*segments))
    with pytest.raises(UsageError, match=message):
        read_areas(mask, wanted)


def test_names_that_repeat_are_told_apart_by_number():
    pairs = {name: str(value) for name, value in describe_segments(("tumor", 0, 1), ("tumor", 0, 2)).items()}
    segments = list_segments(pairs, 1, Path("a.seg.nrrd"))
    assert [choose_segment(segments, wanted, Path()).value for wanted in ("0", "1", "Segment_1")] == [1, 2, 1]


@pytest.mark.parametrize("name", ["a.nrrd", "a.nii.gz", "a.nii"])
def test_plain_label_maps(tmp_path, name):
    write = write_nrrd if name.endswith("nrrd") else write_nifti
    mask = write(tmp_path / name, draw_lesion() * np.uint8(4))
    assert read_areas(mask) == read_areas(mask, "4") == read_areas(mask, "any") == AREAS
    several = write(tmp_path / name, (draw_lesion() * 4 + (draw_brain() > 700)).astype(np.uint8))
    with pytest.raises(UsageError, match="several labels; give one of 1, 4, or any"):
        read_areas(several)
    assert read_areas(several, "4") == AREAS
    with pytest.raises(UsageError, match="no label '9'"):
        read_areas(several, "9")


def test_values_of_a_label_map():
    assert choose_values([1, 2, 4], "any", Path()) == [1, 2, 4]
    assert choose_values([3], "", Path()) == [3]


# Registration by header


def test_a_cropped_mask_lies_where_its_header_says(tmp_path):
    cut = draw_lesion()[3:6, 1:3, 1:4]
    mask = write_nrrd(tmp_path / "a.seg.nrrd", cut, origin=(1, 1, 15), pairs=describe_segments(("tumor", 0, 1)))
    assert read_areas(mask) == AREAS


@pytest.mark.parametrize("axes", ["zyx", "yzx"])
@pytest.mark.parametrize("flips", ["", "xy", "z"])
def test_a_mask_with_other_axes_than_its_image(tmp_path, axes, flips):
    assert read_areas(write_nrrd(tmp_path / "a.seg.nrrd", draw_lesion(), axes=axes, flips=flips, encoding="gzip")) == AREAS


def test_a_finer_mask_is_resampled(tmp_path):
    fine = draw_lesion().repeat(2, axis=1).repeat(2, axis=2)
    mask = write_nrrd(tmp_path / "a.nrrd", fine, spacing=(0.5, 0.5, 5), origin=(-0.25, -0.25, 0))
    assert read_areas(mask) == AREAS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin": (300, 0, 0)}, "100% of the mask lies outside its image image.nrrd"),
        ({"origin": (3, 0, 0)}, "% of the mask lies outside its image"),
        ({"drop": ("space directions", "space origin")}, "does not say where it lies"),
    ],
)
def test_masks_elsewhere_are_refused(tmp_path, changes, message):
    mask = write_nrrd(tmp_path / "a.nrrd", draw_lesion(), **changes)
    with pytest.raises(UsageError, match=message):
        read_areas(mask)


def test_files_without_a_place_fit_by_equal_size_only(tmp_path):
    drop = ("space", "space directions", "space origin")
    image = write_nrrd(tmp_path / "image.nrrd", draw_brain(), drop=drop)
    mask = write_nrrd(tmp_path / "a.nrrd", draw_lesion(), drop=drop)
    assert read_lesion(image, mask, tmp_path, "").masks.sum(axis=(1, 2)).tolist() == AREAS
    smaller = write_nrrd(tmp_path / "b.nrrd", draw_lesion()[:7], drop=drop)
    with pytest.raises(UsageError, match="6 x 5 x 7 against 6 x 5 x 8 voxels"):
        read_lesion(image, smaller, tmp_path, "")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(tmp_path, value):
    voxels = draw_brain().astype(np.float32)
    voxels[0, 0, :2] = value
    image = write_nrrd(tmp_path / "image.nrrd", voxels)
    mask = write_nrrd(tmp_path / "a.nrrd", draw_lesion())
    with pytest.raises(UsageError, match="2 voxels are NaN or infinite"):
        read_lesion(image, mask, tmp_path, "")
    with pytest.raises(UsageError, match="holds NaN or fractions"):
        read_lesion(mask, image, tmp_path, "")


# Hostile files


def refuse(path: Path, message: str, folder: Path | None = None) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_volume(path, folder or path.parent)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": "60000 60000 60000"}, "their product at most"),
        ({"sizes": "99999999999999999999 5 8"}, "NRRD header|product at most"),
        ({"sizes": "6 5 -8"}, "each must be positive"),
        ({"sizes": "6 5 9"}, "claims 540 bytes of voxels, the file has 480"),
        ({"sizes": "6 5 7"}, "claims 420 bytes of voxels, the file has 480"),
        ({"sizes": "6 5 nan"}, "NRRD header|positive"),
        ({"sizes": "6 5"}, "dimension 3, but 2 sizes"),
        (
            {"dimension": "2", "sizes": "30 8", "kinds": "domain domain", "space_directions": "(1,0,0) (0,0,5)"},
            "three are needed",
        ),
        ({"type": "block"}, "voxels of type 'block'"),
        ({"drop": ("endian",)}, "endian must be little or big"),
        ({"encoding": "bzip2"}, "encoding 'bzip2' is not read"),
        ({"encoding": "ascii"}, "encoding 'ascii' is not read"),
        ({"line_skip": "1"}, "line skip = 1"),
        ({"byte_skip": "-1"}, "byte skip = -1"),
        ({"drop": ("sizes",)}, "no sizes in the NRRD header"),
        ({"Sizes": "6 5 8"}, "Duplicate header field"),
        ({"colour": "red"}, "is no field of an NRRD header"),
        ({"space_directions": "none (0,1,0) (0,0,5)"}, "its kind must be list"),
        ({"space_directions": "(0,0,0) (0,1,0) (0,0,5)"}, "no lengths in mm"),
        ({"space_directions": "(1,1,0) (0,1,0) (0,0,5)"}, "right angles|cannot read"),
        ({"space_directions": "(1e300,0,0) (0,1,0) (0,0,5)"}, "no lengths in mm"),
        ({"space_directions": "(1e-9,0,0) (0,1,0) (0,0,5)"}, "no lengths in mm"),
        ({"spacings": "1 nan 1"}, "no lengths in mm"),
        ({"spacings": "1 1"}, "must be 3 each"),
        ({"space_origin": "(nan,0,0)"}, "no lengths in mm"),
        ({"kinds": "domain domain"}, "must be 3 each"),
    ],
)
def test_headers_that_lie(tmp_path, changes, message):
    refuse(write_nrrd(tmp_path / "a.nrrd", draw_brain(), **changes), message)


def test_bombs_are_refused_before_anything_is_allocated(tmp_path, monkeypatch):
    """A packed gigabyte behind a header that claims as much is counted block by block, and never read by SimpleITK."""
    path = write_nrrd(tmp_path / "a.nrrd", np.zeros((64, 512, 512), np.uint8), encoding="gzip", sizes="512 512 60")
    monkeypatch.setattr(volumes.sitk, "ImageFileReader", None)
    refuse(path, "claims 15728640 bytes of voxels, the file has more than 15728640")
    assert nrrd.count_unpacked(write_nifti(tmp_path / "a.nii.gz", np.zeros((99, 512, 512), np.uint8)), 0, 10_000) == 10_001


@pytest.mark.parametrize("field", ["data file", "Data File", "datafile", "DATAFILE"])
@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.raw", "sub/../../secret.raw", "C:\\secret.raw", "link.raw"])
def test_data_files_outside_the_folder_are_never_read(tmp_path, field, name):
    """SimpleITK takes the name of a field in any case, and follows it anywhere."""
    (tmp_path / "secret.raw").write_bytes(bytes(480))
    folder = tmp_path / "data"
    path = write_nrrd(folder / "a.nhdr", draw_brain())
    path.write_bytes(path.read_bytes()[:-480].rstrip() + f"\n{field}: {name}\n".encode())
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    refuse(
        path,
        {"..": "leaves the data folder", "li": "out of the data folder"}.get(name.replace("sub/", "")[:2], "is an absolute path"),
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.raw", "'missing.raw' is missing"),
        ("Voxels.raw", r"a\.nhdr: 'Voxels.raw': no such file; 'voxels.raw' is there: correct the header or rename it"),
        ("C:\\data\\a.raw", r"a\.nhdr: the name .* in it is an absolute path"),
        ("..\\a.raw", r"a\.nhdr: the name .* in it leaves the data folder"),
        ("LIST", "several files"),
        ("LIST 2", "several files"),
        ("a%03d.raw 1 8 1", "several files"),
    ],
)
def test_data_files_that_are_not_one(tmp_path, name, message):
    path = write_nrrd(tmp_path / "a.nhdr", draw_brain())
    (tmp_path / "voxels.raw").touch()
    path.write_bytes(path.read_bytes()[:-480].rstrip() + f"\ndata file: {name}\n".encode())
    refuse(path, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"NRRD", "NRRD"),
        (b"NRRD0009\nsizes: 1\n\n", "NRRD header"),
        (b"PK\3\4", "not an NRRD file"),
        (b"NRRD0004\n" + b"a" * 2**21, "no end of the header"),
        (b"NRRD0004\ntype: \x00\n\n", "holds what is no text"),
        (b"NRRD0004\n  \n\n", "holds what is no text"),
        (b"NRRD0004\nno colon\n\n", "is no field"),
        (b"NRRD0004\na:=1\na:=2\n\n", "again"),
    ],
)
def test_what_is_no_header(tmp_path, content, message):
    (tmp_path / "a.nrrd").write_bytes(content)
    refuse(tmp_path / "a.nrrd", message)


def test_cut_files(tmp_path):
    for name, encoding in (("a.nrrd", "raw"), ("b.nrrd", "gzip")):
        path = write_nrrd(tmp_path / name, draw_brain(), encoding=encoding)
        path.write_bytes(path.read_bytes()[:-20])
        refuse(path, "damaged or cut")
    refuse(tmp_path / "none.nrrd", "no such file")
    refuse(write_nrrd(tmp_path / "a.nrrd", draw_brain()).rename(tmp_path / "a.mha"), "neither NRRD nor NIfTI")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (40, (5, 6, 5, 8, 3), "holds several volumes"),
        (40, (3, 6, 5, -8), "positive size"),
        (40, (3, 30000, 30000, 30000), "are not read"),
        (40, (3, 6, 5, 9), "claims 892 bytes, the file has 832"),
        (40, (99,), "positive size"),
        (70, (128, 24), "are not read"),
        (0, (1, 1), "not a NIfTI-1 file"),
    ],
)
def test_nifti_headers_that_lie(tmp_path, place, value, message):
    for name in ("a.nii", "a.nii.gz"):
        path = write_nifti(tmp_path / name, draw_brain())
        content = bytearray(gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes())
        np.frombuffer(content, "<i2", len(value), place)[:] = value
        path.write_bytes(gzip.compress(bytes(content)) if name.endswith("gz") else bytes(content))
        refuse(path, message)


def test_nifti_files_that_are_cut(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", draw_brain())
    path.write_bytes(path.read_bytes()[:-9])
    refuse(path, "damaged or cut")
    (tmp_path / "b.nii.gz").write_bytes(b"abc")
    refuse(tmp_path / "b.nii.gz", "damaged or cut")
    (tmp_path / "c.nii").write_bytes(b"")
    refuse(tmp_path / "c.nii", "not a NIfTI-1 file")
    refuse(tmp_path / "d.nii", "no such file")


def test_colours_are_no_image(tmp_path):
    image = write_nrrd(tmp_path / "image.nrrd", np.stack([draw_brain()] * 3))
    with pytest.raises(UsageError, match="3 values a voxel; write one sequence a file"):
        read_lesion(image, write_nrrd(tmp_path / "a.nrrd", draw_lesion()), tmp_path, "")
    with pytest.raises(UsageError, match="3 values a voxel and no segments"):
        read_areas(image.rename(tmp_path / "b.nrrd"))
