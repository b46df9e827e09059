"""From a source to a prepared data set with its faults, and the data command that tells what is there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.cases.prepared import load_dataset
from common.cases.sources import Finding, Source, build_parser, drop_contradictions, explain_data, prepare_source
from common.errors import UsageError

SOURCE = Source("own", Path("/data/pictures"), "pictures of the user", synthetic=False, note="as given", private=True)


def read(faults=(), labels=(0, 1, 1), hashes=("a", "b", "c")):
    paths = [f"{name}.png" for name in "xyz"]
    cases = pd.DataFrame({
        "case_id": ["c0", "c1", "c2"], "path": paths, "sha256": [name * 64 for name in hashes],
        "patient_id": ["p", "p", "q"], "label": list(labels),
    })  # fmt: skip
    return np.arange(12, dtype=np.uint8).reshape(3, 2, 2), cases, {"faults": list(faults), "pictures": 3}


def prepare(folder: Path, content, *, skip: bool = False, origin=None) -> list[int]:
    """Prepare and count how often the source was read."""
    calls = []

    def reader():
        calls.append(1)
        return content

    prepare_source(SOURCE, origin or {"v": 1}, folder, reader, ("healthy", "ill"), "some.data", skip_unreadable=skip)
    return calls


def test_a_prepared_set_says_where_it_comes_from_and_is_read_once(tmp_path):
    assert len(prepare(tmp_path / "data", read())) == 1
    dataset = load_dataset(tmp_path / "data")
    known = {name: dataset.info[name] for name in ("name", "note", "synthetic", "private", "cases", "patients", "pictures")}
    assert known == {
        "name": "pictures of the user", "note": "as given", "synthetic": False, "private": True, "cases": 3, "patients": 2,
        "pictures": 3,
    }  # fmt: skip
    assert dataset.info["classes"] == {"healthy": 1, "ill": 2}
    assert dataset.images.shape == (3, 2, 2, 1)
    assert prepare(tmp_path / "data", read()) == []
    assert len(prepare(tmp_path / "data", read(), origin={"v": 2})) == 1


def test_faults_name_files_from_the_folder_on_and_quote_the_table_as_it_is():
    quoted = "cases.csv line 2: '/data/pictures/b.png' is an absolute path"
    faults = drop_contradictions(SOURCE, read(["/data/pictures/a.png: empty", f"x: {SOURCE.path}/c.png: empty", quoted]))[2][
        "faults"
    ]
    assert faults == ["a.png: empty", "x: c.png: empty", quoted]


def test_files_that_change_while_they_are_read_are_not_prepared(tmp_path):
    """Else the pictures of one state would stand under the listing of another, for good."""
    source = Source("own", tmp_path / "pictures", "pictures", synthetic=False)
    source.path.mkdir()
    (source.path / "cases.csv").write_text("a")

    def reader():
        (source.path / "cases.csv").write_text("b")
        return read()

    with pytest.raises(UsageError, match="its files changed while they were read; run the same command again"):
        prepare_source(source, {}, tmp_path / "data", reader, ("healthy", "ill"), "some.data", skip_unreadable=False)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("change", [{"synthetic": True}, {"name": "other"}, {"substitute": True}, {"patients": "same"}])
def test_another_standing_of_the_source_prepares_anew(tmp_path, change):
    prepare(tmp_path / "data", read())
    prepare_source(replace(SOURCE, **change), {"v": 1}, tmp_path / "data", read, ("no", "yes"), "m", skip_unreadable=False)
    info = load_dataset(tmp_path / "data").info
    assert {name: info["origin"][name] for name in change} == change


def test_a_noted_copy_prepares_anew_only_the_sets_that_hold_both_files(tmp_path):
    """The notes of one --out are those of all its data sets."""
    images, cases, notes = read()
    pair = {"files": ["x.png", "z.png"], "case_ids": ["c0", "c2"], "similarity": 0.9}
    contents = [(images, cases, notes), (images, cases, notes | {"near_duplicates": [pair]})]
    calls = []

    def reader():
        calls.append(1)
        found = contents[min(len(calls), 2) - 1]
        return *found[:2], dict(found[2])

    for noted, expected in (("d", 1), ("d", 1), ("c", 2), ("c", 2)):
        source = replace(SOURCE, noted=(("a" * 64, noted * 64, 0.9),))
        prepare_source(source, {"v": 1}, tmp_path / "data", reader, ("healthy", "ill"), "some.data", skip_unreadable=False)
        assert len(calls) == expected


def test_faults_stop_unless_they_may_be_skipped_and_are_counted(tmp_path):
    faults = [f"picture {number}: damaged" for number in range(5)]
    expected = r"pictures: 5 faults: picture 0: damaged; picture 1: .*; and 2 more \(python -m some.data lists all\); repair"
    with pytest.raises(UsageError, match=expected):
        prepare(tmp_path / "data", read(faults))
    assert not (tmp_path / "data").exists()
    prepare(tmp_path / "data", read(faults), skip=True)
    assert load_dataset(tmp_path / "data").info["unreadable"] == faults
    with pytest.raises(UsageError, match="5 faults"):  # what was left out before is not silently taken now
        prepare(tmp_path / "data", read(faults))


def test_one_class_is_nothing_to_learn(tmp_path):
    with pytest.raises(UsageError, match="fewer than two classes"):
        prepare(tmp_path / "data", read(labels=(1, 1, 1)))


def test_a_picture_with_both_labels_is_left_out():
    content = read(["/data/pictures/old.png: damaged"], labels=(0, 1, 1), hashes=("a", "a", "c"))
    images, cases, notes = drop_contradictions(SOURCE, content)
    assert cases["case_id"].tolist() == ["c2"]
    assert len(images) == 1
    assert notes["faults"] == ["old.png: damaged", "the same picture has both labels: x.png, y.png (2 cases)"]
    same = read(labels=(1, 1, 0), hashes=("a", "a", "c"))
    assert len(drop_contradictions(SOURCE, same)[1]) == 3  # twice with one label is no contradiction


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 2),
        ([Finding(name="A", kind="own", path="a", synthetic=False, part="lung")], 0),
        ([Finding(name="A", kind="own", path="a", synthetic=False, part="lung", problems=["one", "two"])], 2),
    ],
)
def test_the_command_tells_what_is_there_and_how_to_get_the_rest(tmp_path, capsys, findings, code):
    how_to_get = {"lung": "get the lungs here", "hip": "get the hips there"}
    given = build_parser("some_paper", "").parse_args(["--data", str(tmp_path)])
    assert explain_data("some_paper", given, lambda _: findings, how_to_get) == code
    printed = capsys.readouterr().out
    assert "get the hips there" in printed
    assert ("get the lungs here" in printed) == (not findings)
    assert ("  2 problems" in printed) == (len(findings) == 1 and code == 2)
    given = build_parser("some_paper", "").parse_args(["--data", str(tmp_path), "--json"])
    assert explain_data("some_paper", given, lambda _: findings, how_to_get) == code
    content = json.loads(capsys.readouterr().out)
    assert content["folder"] == str(tmp_path)
    assert [source["part"] for source in content["sources"]] == [finding.part for finding in findings]
