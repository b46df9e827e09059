"""MetaImage reader: equal to SimpleITK on what is valid, one clear error on what is not."""

import unicodedata

import numpy as np
import pytest

from common.data.metaimage import (
    MAX_HEADER_BYTES,
    check_axial,
    read_header,
    read_region,
    voxel_to_world,
    world_to_voxel,
    write_volume,
)
from common.errors import UsageError

ROTATION = np.array([[0.0, -0.6, 0.8], [1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])  # x -> y, the rest turned by 53 degrees


def write_example(folder, dtype="<i2", direction=None):
    voxels = np.random.default_rng(0).integers(-1000, 400, (5, 7, 9)).astype(dtype)
    write_volume(folder / "scan.mhd", voxels, (0.7, 0.8, 2.5), (-100.0, 50.0, -300.5), direction)
    return folder / "scan.mhd", voxels


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("direction", [None, np.diag([-1.0, -1.0, 1.0]), ROTATION], ids=["plain", "flipped", "oblique"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<f4", ">f8"])
def test_reader_equals_simpleitk(tmp_path, dtype, direction):
    sitk = pytest.importorskip("SimpleITK")
    path, voxels = write_example(tmp_path, dtype, direction)
    volume = read_header(path)
    image = sitk.ReadImage(str(path))
    assert volume.size == image.GetSize()
    np.testing.assert_allclose(volume.spacing, image.GetSpacing())
    np.testing.assert_allclose(volume.origin, image.GetOrigin())
    np.testing.assert_allclose(volume.direction.ravel(), image.GetDirection())
    np.testing.assert_array_equal(read_region(volume, (0, 0, 0), volume.size), sitk.GetArrayFromImage(image))
    np.testing.assert_array_equal(read_region(volume, (2, 1, 3), (4, 5, 2)), voxels[3:5, 1:6, 2:6])
    point = image.TransformContinuousIndexToPhysicalPoint([2.25, 4.5, 1.0])
    np.testing.assert_allclose(world_to_voxel(volume, point), [2.25, 4.5, 1.0], atol=1e-9)
    np.testing.assert_allclose(voxel_to_world(volume, [2.25, 4.5, 1.0]), point, atol=1e-9)


def test_region_has_native_byte_order(tmp_path):
    volume = read_header(write_example(tmp_path, ">i2")[0])
    assert read_region(volume, (0, 0, 0), (1, 1, 1)).dtype == np.int16


@pytest.mark.parametrize(("start", "size"), [((-1, 0, 0), (2, 2, 2)), ((8, 0, 0), (2, 1, 1)), ((0, 0, 0), (1, 0, 1))])
def test_region_outside_the_volume_is_refused(tmp_path, start, size):
    volume = read_header(write_example(tmp_path)[0])
    with pytest.raises(ValueError, match="leaves the volume"):
        read_region(volume, start, size)


def test_header_size_skips_leading_bytes(tmp_path):
    path, voxels = write_example(tmp_path)
    raw = path.with_suffix(".raw")
    raw.write_bytes(b"head" + raw.read_bytes())
    rewrite(path, "ElementType", "HeaderSize = -1\nElementType")
    volume = read_header(path)
    np.testing.assert_array_equal(read_region(volume, (0, 0, 0), volume.size), voxels)


HOSTILE = {
    "more voxels than the raw file": ("DimSize = 9 7 5", "DimSize = 9 7 6", "claims 756 bytes"),
    "fewer voxels than the raw file": ("DimSize = 9 7 5", "DimSize = 9 7 4", "claims 504 bytes"),
    "negative size": ("DimSize = 9 7 5", "DimSize = 9 -7 5", "each must be 1 to"),
    "huge size": ("DimSize = 9 7 5", "DimSize = 99999999999 99999999999 99999999999", "each must be 1 to"),
    "endless digits": ("DimSize = 9 7 5", "DimSize = 9 7 " + "9" * 5000, "whole numbers"),
    "size of zero": ("DimSize = 9 7 5", "DimSize = 0 7 5", "each must be 1 to"),
    "size in words": ("DimSize = 9 7 5", "DimSize = 9 seven 5", "3 whole numbers"),
    "two sizes": ("DimSize = 9 7 5", "DimSize = 9 7", "3 whole numbers"),
    "four dimensions": ("NDims = 3", "NDims = 4", "only volumes of 3"),
    "no spacing": ("ElementSpacing", "Spacing", "no ElementSpacing"),
    "spacing of zero": ("ElementSpacing = 0.69999999999999996", "ElementSpacing = 0", "must be positive"),
    "spacing not a number": ("ElementSpacing = 0.69999999999999996", "ElementSpacing = nan", "3 numbers"),
    "singular matrix": ("TransformMatrix = 1", "TransformMatrix = 0", "no rotation"),
    "unknown type": ("MET_SHORT", "MET_STRING", "is none of"),
    "several channels": ("NDims = 3", "NDims = 3\nElementNumberOfChannels = 3", "only grey"),
    "compressed": ("CompressedData = False", "CompressedData = True", "uncompressed"),
    "text voxels": ("BinaryData = True", "BinaryData = False", "voxels as text"),
    "no truth value": ("CompressedData = False", "CompressedData = maybe", "True or False"),
    "given twice": ("NDims = 3", "NDims = 3\nNDims = 3", "line 3: NDims is given twice"),
    "raw outside": ("= scan.raw", "= ../scan.raw", "leaves the folder"),
    "raw absolute": ("= scan.raw", "= /etc/passwd", "leaves the folder"),
    "raw missing": ("= scan.raw", "= other.raw", "are missing"),
    "raw name too long": ("= scan.raw", "= " + "a" * 5000, "a name of 5000 characters"),
    "raw a folder": ("= scan.raw", "= .", "are missing"),
    "voxels in the header": ("= scan.raw", "= LOCAL", "only one raw file"),
    "a list of slices": ("= scan.raw", "= slice%03d.raw 1 5 1", "only one raw file"),
    "negative offset": ("NDims = 3", "NDims = 3\nHeaderSize = -7", "claims"),
}


@pytest.mark.parametrize("fault", HOSTILE, ids=str)
def test_hostile_header_is_one_clear_error(tmp_path, fault):
    path, _ = write_example(tmp_path)
    old, new, message = HOSTILE[fault]
    rewrite(path, old, new)
    with pytest.raises(UsageError, match=message) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + 2 * len(str(path))


OTHER_NAMES = [
    ("BinaryDataByteOrderMSB = False", "ElementByteOrderMSB", ["False", "false", "0"], ["True", "1", ""]),
    ("Offset = -100 50 -300.5", "Position", ["-100 50 -300.5", "-100.0  50 -3005e-1"], ["-100 50 -300", "-100 50", "a b c"]),
    ("Offset = -100 50 -300.5", "Origin", ["-100 50 -300.5"], ["0 0 0", "nan nan nan"]),
    ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "Rotation", ["1.0 0 0 0 1 0 0 -0 1"], ["-1 0 0 0 -1 0 0 0 1"]),
    ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "Orientation", ["1 0 0 0 1 0 0 0 1"], ["1 0 0 0 1 0 0 0 -1"]),
]


@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize(("entry", "other", "alike", "different"), OTHER_NAMES, ids=[entry[1] for entry in OTHER_NAMES])
def test_an_entry_under_two_names_is_refused_only_where_they_differ(tmp_path, entry, other, alike, different, where):
    path, voxels = write_example(tmp_path)
    text, name = path.read_text(), entry.split(" = ")[0]
    assert f"\n{entry}\n" in text

    def give(value: str) -> str:
        lines = (f"{other} = {value}", entry)
        return text.replace(entry, "\n".join(lines if where == "before" else lines[::-1]))

    expected = read_header(path)
    for value in alike:
        path.write_text(give(value))
        volume = read_header(path)
        np.testing.assert_array_equal(volume.origin, expected.origin)
        np.testing.assert_array_equal(volume.direction, expected.direction)
        np.testing.assert_array_equal(read_region(volume, (0, 0, 0), volume.size), voxels)
    for value in different:
        path.write_text(give(value))
        with pytest.raises(UsageError, match="differ") as caught:
            read_header(path)
        line = give(value).splitlines().index(entry if where == "before" else f"{other} = {value}") + 1
        assert str(caught.value).startswith(f"{path} line {line}: ")
        assert name in str(caught.value)
        assert other in str(caught.value)


def test_an_entry_under_three_names(tmp_path):
    path, _ = write_example(tmp_path)
    rewrite(path, "ElementType", "Position = -100 50 -300.5\nOrigin = -100 50 -300.5\nElementType")
    assert read_header(path).origin.tolist() == [-100.0, 50.0, -300.5]
    rewrite(path, "Origin = -100", "Origin = 100")
    with pytest.raises(UsageError, match="Origin.*Offset.*differ"):
        read_header(path)
    rewrite(path, "Origin = 100", "Position = -100")
    with pytest.raises(UsageError, match="Position is given twice"):
        read_header(path)


@pytest.mark.parametrize("name", ["M\u00fcller scan", "\u60a3\u8005", "voil\u00e0", "Jose\u0301", "\U0001fac1", "a\u3000b"])
def test_names_of_any_script_are_read_as_simpleitk_writes_them(tmp_path, name):
    sitk = pytest.importorskip("SimpleITK")
    path, voxels = write_example(tmp_path)
    image = sitk.ReadImage(str(path))
    image.SetMetaData("0010|0010", name)  # an entry that is not used
    again = tmp_path / f"{name}.mhd"
    sitk.WriteImage(image, str(again))
    volume = read_header(again)
    assert volume.raw.name == f"{name}.raw"
    np.testing.assert_array_equal(read_region(volume, (0, 0, 0), volume.size), voxels)
    volume.raw.rename(tmp_path / unicodedata.normalize("NFD", f"{name}.RAW"))  # as a Mac and a camera write it
    assert read_header(again).size == (9, 7, 5)


def test_a_name_in_latin_1_is_read_and_control_characters_are_refused(tmp_path):
    path, _ = write_example(tmp_path)
    path.with_suffix(".raw").rename(tmp_path / "M\u00fcller.raw")
    header = path.read_bytes()
    path.write_bytes(header.replace(b"= scan.raw", b"= M\xfcller.raw"))
    assert read_header(path).raw.name == "M\u00fcller.raw"
    for name in (b"a\0b.raw", b"a\x1b[31m.raw", b"a\x7f.raw", "a\x85b.raw".encode(), "a\u2028b.raw".encode(), b"a\x85b.raw"):
        path.write_bytes(header.replace(b"= scan.raw", b"= " + name))
        with pytest.raises(UsageError, match="line 11: ElementDataFile holds control characters"):
            read_header(path)
    path.write_bytes(header.replace(b"NDims = 3", "NDims = \uff13".encode()))
    with pytest.raises(UsageError, match="line 2: NDims is not plain text"):
        read_header(path)


def test_only_volumes_of_axial_slices_pass_as_such(tmp_path):
    tilted = np.deg2rad(25)
    gantry = np.array([[1, 0, 0], [0, np.cos(tilted), -np.sin(tilted)], [0, np.sin(tilted), np.cos(tilted)]])
    around = ROTATION[[0, 2, 1]][:, [0, 2, 1]]
    coronal, sagittal = np.eye(3)[[0, 2, 1]], np.eye(3)[[2, 0, 1]]
    for direction in (np.eye(3), np.diag([-1.0, 1, -1]), np.eye(3)[[1, 0, 2]], gantry):
        volume = read_header(write_example(tmp_path, direction=direction)[0])
        assert check_axial(volume) is volume
    for direction in (coronal, -coronal, sagittal, ROTATION, around):
        path, _ = write_example(tmp_path, direction=direction)
        with pytest.raises(UsageError, match="its slices are not axial") as caught:
            check_axial(read_header(path))
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "line",
    [
        b"ITK_InputFilterName = MetaImageIO", b"ITK_original_spacing = 0.7 0.8 2.5", b"0010|0010 = Doe^Jane", b"hello",
        b"Comment = caf\xe9", b"ITK_Notes = a\0b\x1b", b"Name = 1\nName = 2", b"= 5", b"  second line of a remark", b"\r",
    ],
)  # fmt: skip
def test_entries_that_are_not_used_may_be_anything(tmp_path, line):
    path, voxels = write_example(tmp_path)
    expected = read_header(path)
    path.write_bytes(path.read_bytes().replace(b"DimSize", line + b"\nDimSize"))
    volume = read_header(path)
    assert (volume.size, volume.dtype, volume.raw) == (expected.size, expected.dtype, expected.raw)
    np.testing.assert_array_equal(read_region(volume, (0, 0, 0), volume.size), voxels)


def test_a_volume_read_and_written_back_by_simpleitk_is_read(tmp_path):
    """It adds entries of its own, ITK_*, and those of the image's dictionary, such as DICOM attributes."""
    sitk = pytest.importorskip("SimpleITK")
    path, voxels = write_example(tmp_path)
    image = sitk.ReadImage(str(path))
    image.SetMetaData("0008|103e", "thorax\nlung = soft")
    sitk.WriteImage(image, str(tmp_path / "again.mhd"))
    assert "ITK_" in (tmp_path / "again.mhd").read_text()
    volume = read_header(tmp_path / "again.mhd")
    np.testing.assert_allclose(volume.origin, image.GetOrigin())
    np.testing.assert_array_equal(read_region(volume, (0, 0, 0), volume.size), voxels)


def test_voxels_whose_name_changed_in_passing_are_found(tmp_path):
    path, _ = write_example(tmp_path)
    path.with_suffix(".raw").rename(tmp_path / "scan.RAW")
    assert read_header(path).raw.name == "scan.RAW"
    (tmp_path / "scan.RAW").rename(tmp_path / "Scan.raw")
    with pytest.raises(UsageError, match="'Scan.raw' is there"):
        read_header(path)


@pytest.mark.parametrize(
    ("there", "written", "message"),
    [
        ("Scan.raw", "scan.raw", "'Scan.raw' is there: correct the header or rename it"),
        ("scan 1.raw", "scan_1.raw", "'scan 1.raw' is there: correct the header or rename it"),
        ("sub/Scan.raw", "sub\\scan.raw", "'Scan.raw' is there: correct the header or rename it"),
        ("x.raw", "C:\\data\\x.raw", r"'C:\\data\\x.raw' leaves the folder"),
        ("x.raw", "C:x.raw", "'C:x.raw' leaves the folder"),
        ("x.raw", "\\\\server\\data\\x.raw", "leaves the folder"),
        ("x.raw", "..\\x.raw", "put the raw file beside the header"),
        ("x.raw", "../x.raw", "leaves the folder"),
        ("x.raw", "患" * 100, "a name of 100 characters"),  # 300 bytes, which no file system holds
        ("x.raw", "x\ty.raw", "control characters"),
    ],
)
def test_a_raw_file_that_is_not_found_is_a_fault_of_the_header(tmp_path, there, written, message):
    path, _ = write_example(tmp_path)
    (tmp_path / there).parent.mkdir(exist_ok=True)
    path.with_suffix(".raw").rename(tmp_path / there)
    path.write_text(path.read_text().replace("= scan.raw", f"= {written}"), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_header(path)
    error = str(caught.value)
    assert error.startswith(f"{path}: ")
    assert message in error
    assert "table" not in error.removeprefix(f"{path}: ")
    assert error.count(str(path.parent)) <= 2


def test_a_name_that_looks_like_a_drive_is_read_where_it_is_there(tmp_path):
    path, _ = write_example(tmp_path)
    path.with_suffix(".raw").rename(tmp_path / "a:scan.raw")
    rewrite(path, "= scan.raw", "= a:scan.raw")
    assert read_header(path).raw.name == "a:scan.raw"


def test_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "inside").mkdir()
    path, _ = write_example(tmp_path / "inside")
    path.with_suffix(".raw").rename(tmp_path / "secret.raw")
    path.with_suffix(".raw").symlink_to(tmp_path / "secret.raw")
    with pytest.raises(UsageError, match="leaves the folder"):
        read_header(path)
    assert read_header(path, folder=tmp_path).size == (9, 7, 5)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff\xfe" * 50, b"DimSize = 1 1 1\n" * 9, b"\xff\nElementDataFile = a"])
def test_file_that_is_no_header(tmp_path, content):
    path = tmp_path / "scan.mhd"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a MetaImage header"):
        read_header(path)


def test_header_is_read_to_a_limit_only(tmp_path):
    path, _ = write_example(tmp_path)
    path.write_bytes(b"\n" * (MAX_HEADER_BYTES + 1) + path.read_bytes())
    with pytest.raises(UsageError, match=f"no ElementDataFile in its first {MAX_HEADER_BYTES} bytes"):
        read_header(path)


def test_raw_cut_after_the_check(tmp_path):
    path, _ = write_example(tmp_path)
    volume = read_header(path)
    volume.raw.write_bytes(volume.raw.read_bytes()[:100])
    with pytest.raises(UsageError, match="ends early"):
        read_region(volume, (0, 0, 4), (9, 7, 1))
