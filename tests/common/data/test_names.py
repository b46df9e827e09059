"""Names of files: what file systems and editors change is matched, what a person changed is told; what systems add is no data."""

import re
import unicodedata
from pathlib import Path

import pytest

from common.data.folder import find_holding, list_entries, show_entries, walk_files
from common.data.listing import drop_repeated, list_own
from common.data.names import find_listed, find_named, name_listed
from common.errors import UsageError

ACCENT = "Jos\u00e9"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        (f"{ACCENT}.jpg", unicodedata.normalize("NFD", f"{ACCENT}.jpg")),
        (unicodedata.normalize("NFD", f"a/{ACCENT}.jpg"), f"a/{ACCENT}.jpg"),
        ("p1.jpg", "p1.JPG"),
        ("p1.JPG", "p1.jpg"),
        ("p1.jpg ", "p1.jpg"),
        ("p1.jpg\u00a0", "p1.jpg"),
        ("\ufeffp1.jpg", "p1.jpg"),
        ("p1.jpg", "p1.jpg "),
        ("a\\b\\p1.jpg", "a/b/p1.jpg"),
        ("a /p1.jpg", "a/p1.jpg"),
        ("./a//p1.jpg", "a/p1.jpg"),
        ("scan.nii.gz", "scan.nii.GZ"),
    ],
)
def test_what_file_systems_and_editors_change_is_matched(tmp_path, listed, there):
    touch(tmp_path, there, "a/other.jpg", "p2.jpg")
    assert find_listed(tmp_path, listed).samefile(tmp_path / there)
    assert (tmp_path / name_listed(tmp_path, listed)).samefile(tmp_path / there)


@pytest.mark.parametrize(
    ("listed", "there"),
    [
        ("p1.jpg", "P1.jpg"),
        ("p1.jpg", "p1.jpeg"),
        ("p1.jpg", "p1.png"),
        ("p1.jpg", "p1"),
        ("p1.jpg", "p1.jpg.jpg"),
        ("p1.jpg", "p1 (1).jpg"),
        ("p1.jpg", "p1 copy.jpg"),
        ("p_1.jpg", "p 1.jpg"),
        ("p-1.jpg", "p\u20131.jpg"),
        ("images/p1.jpg", "Images/p1.jpg"),
    ],
)
def test_a_near_miss_is_told(tmp_path, listed, there):
    touch(tmp_path, there)
    with pytest.raises(UsageError, match="no such file; .* is there: correct the table or rename it") as caught:
        find_listed(tmp_path, listed)
    assert repr(there.split("/")[0]) in str(caught.value)
    assert name_listed(tmp_path, listed) == listed
    with pytest.raises(UsageError, match="differs little") as caught:
        find_listed(tmp_path, listed, tell=False)
    assert repr(there.split("/")[0]) not in str(caught.value)


def test_the_very_name_comes_first_and_several_alike_are_not_chosen_among(tmp_path):
    touch(tmp_path, "p1.jpg", "p1.JPG", "p2.JPG", "p2.Jpg")
    assert find_listed(tmp_path, "p1.JPG").name == "p1.JPG"
    with pytest.raises(UsageError, match="'p2.JPG' and 'p2.Jpg' is there: keep one of them"):
        find_listed(tmp_path, "p2.jpg")


@pytest.mark.parametrize("name", ["p1.xml", "p3.jpg", "p01.jpg", "._p1.jpg", "no/p1.jpg", "p1.jpg/x"])
def test_other_names_are_left_to_the_reader(tmp_path, name):
    touch(tmp_path, "p1.jpg", "._p3.JPG")
    assert find_listed(tmp_path, name) == tmp_path / name


def test_a_name_too_long_for_a_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="a name of 5000 letters is too long for a file; correct it"):
        find_listed(tmp_path, "a" * 5000)


def test_a_match_does_not_leave_the_folder(tmp_path):
    touch(tmp_path, "outside/p1.jpg", "data/x")
    (tmp_path / "data/Link.JPG").symlink_to(tmp_path / "outside/p1.jpg")
    with pytest.raises(UsageError, match="a link out of the data folder"):
        find_listed(tmp_path / "data", "Link.jpg")
    assert find_listed(tmp_path / "data", "Link.jpg", follow_links=True).name == "Link.JPG"


def test_a_file_that_appears_later_is_found(tmp_path):
    assert find_listed(tmp_path, "p1.jpg") == tmp_path / "p1.jpg"
    touch(tmp_path, "p1.JPG")
    assert find_listed(tmp_path, "p1.jpg").name == "p1.JPG"


JUNK = [
    "._p1.jpg",
    ".DS_Store",
    "~$cases.csv",
    "__MACOSX/p1.jpg",
    "@eaDir/p1.jpg",
    "Thumbs.db",
    "$RECYCLE.BIN/p1.jpg",
    ".x/p1.jpg",
]


@pytest.mark.parametrize("name", JUNK)
def test_what_systems_add_is_no_data(tmp_path, name):
    touch(tmp_path, name, f"a/{name}")
    assert walk_files(tmp_path) == []
    assert [path.name for path in list_entries(tmp_path)] == ["a"]
    assert list_entries(tmp_path / "a", ".jpg") == []
    assert show_entries(tmp_path) == "a/"
    touch(tmp_path, "a/p1.JPG")
    assert walk_files(tmp_path) == list_entries(tmp_path / "a", ".jpg") == [tmp_path / "a/p1.JPG"]


def test_a_collection_is_not_found_in_what_a_mac_adds(tmp_path):
    touch(tmp_path, "__MACOSX/set/list.csv", "b/set/list.csv")
    assert find_holding(tmp_path, ["list.csv"]) == tmp_path / "b/set"
    with pytest.raises(UsageError, match="holds other.csv together; found: b/"):
        find_holding(tmp_path, ["other.csv"])


def test_two_spellings_of_one_file_are_one_line_of_a_table(tmp_path):
    names = [f"{ACCENT}.JPG", unicodedata.normalize("NFD", f"{ACCENT}.jpg"), "b.jpg"]
    touch(tmp_path, names[0])
    lines = "".join(f"{name},0,p\n" for name in names)
    (tmp_path / "cases.csv").write_text(f"path,label,patient\n{lines}", encoding="utf-8")
    listed, faults = list_own(tmp_path, {"0": 0}, "0")
    assert [line.file for line in listed] == [names[0], names[0], "b.jpg"]
    assert [line.path for line in listed] == names
    assert len(drop_repeated(listed, lambda line: line.file, lambda _: "", faults)) == 2
    assert len(faults) == 1


def test_window_of_a_line(tmp_path):
    (tmp_path / "cases.csv").write_text(
        "path,label,patient,black,white\na,0,p,0,4095\nb,0,p,,\nc,0,p,5,5\nd,0,p,0,70000\ne,0,p,1,\n"
    )
    listed, faults = list_own(tmp_path, {"0": 0}, "0")
    assert [line.window for line in listed] == [(0, 4095), None]
    assert len(faults) == 3
    assert all("are not two different grey levels" in fault for fault in faults)


def test_what_a_header_names_is_a_fault_of_the_header(tmp_path):
    touch(tmp_path, "Scan.raw", "right.RAW", "twice.RAW", "twice.Raw")
    header = tmp_path / "scan.nhdr"
    assert find_named(header, "right.raw").name == "right.RAW"
    assert find_named(header, "other.raw") == tmp_path / "other.raw"
    (tmp_path / "out.raw").symlink_to(tmp_path.parent)
    for name, message in {
        "scan.raw": "no such file; 'Scan.raw' is there: correct the header or rename it",
        "twice.raw": "no such file; 'twice.RAW' and 'twice.Raw' is there: keep one of them",
        "C:\\a.raw": "is an absolute path",
        "/a.raw": "is an absolute path",
        "../a.raw": "leaves the data folder",
        "..\\a.raw": "leaves the data folder",
        "a\0.raw": "control characters",
        "a" * 300: "too long",
        "out.raw": "is a link out of the data folder",
        " ": "no file named",
    }.items():
        with pytest.raises(UsageError, match=re.escape(message)) as caught:
            find_named(header, name)
        assert str(caught.value).startswith(f"{header}: ")
        assert str(caught.value).count(str(tmp_path)) == 1
        assert "table" not in str(caught.value).removeprefix(str(header))
