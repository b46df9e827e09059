"""Tables from elsewhere: read as they stand; hostile and damaged ones end in one line that names the place."""

import re
import time
from pathlib import Path

import numpy as np
import pytest

from common.data import csv_files
from common.data.csv_files import read_csv_table
from common.errors import UsageError

COLUMNS = {"path": str, "label": int, "score": float}


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_table_is_read_as_it_stands(tmp_path):
    text = '\ufeffscore,path,note,label\n1.5,NA,x,3\n-2e3,=1+1|cmd,"two\nlines",-4\n\n0,"a,b",,0\n'
    table = read_csv_table(write(tmp_path / "t.csv", text), COLUMNS)
    assert list(table) == ["path", "label", "score"]
    assert table["path"].tolist() == ["NA", "=1+1|cmd", "a,b"]
    assert table["label"].tolist() == [3, -4, 0]
    assert table["score"].tolist() == [1.5, -2000, 0]
    assert table["label"].dtype == np.int64
    windows = read_csv_table(write(tmp_path / "w.csv", text.replace("\n", "\r\n")), COLUMNS)
    assert windows["label"].tolist() == [3, -4, 0]
    assert len(read_csv_table(write(tmp_path / "e.csv", "path,label,score\n"), COLUMNS)) == 0


def test_rows_have_the_numbers_of_their_lines(tmp_path):
    text = '"score","path","no\nte",label\n1,a,x,3\n\n\n2,b,"two\nlines\n",4\n3,c,,5\n'
    for name, written in {"t.csv": text, "w.csv": text.replace("\n", "\r\n")}.items():
        path = write(tmp_path / name, written)
        assert read_csv_table(path, COLUMNS).index.tolist() == [0, 1, 2]
        table = read_csv_table(path, COLUMNS, numbered=True)
        assert table["path"].to_dict() == {3: "a", 6: "b", 9: "c"}
    empty = write(tmp_path / "e.csv", "path,label,score\n")
    assert read_csv_table(empty, COLUMNS, numbered=True).to_dict("index") == {}


HOSTILE = {
    "empty": ("", r":1: no column path, label, score.*found: nothing"),
    "missing column": ("path,score\na,1\n", r":1: no column label in the header line; found: path, score"),
    "double column": ("path,label,label,score\na,1,1,1\n", r":1: column label occurs twice"),
    "too few fields": ("path,label,score\na,1,1\nb,2\n", r":3: 2 fields where the header has 3"),
    "too many fields": ("path,label,score\na,1,1,9\n", r":2: 4 fields"),
    "text for int": ("path,label,score\na,1,1\nb,=1+1,1\n", r":3: column label: '=1\+1' is not a whole number"),
    "float for int": ("path,label,score\na,1.0,1\n", r":2: column label: '1.0' is not a whole number"),
    "huge int": (
        "path,label,score\na,1,1\na,99999999999999999999,1\n",
        r":3: column label: '9+' is not a whole number",
    ),
    "digits without end": ("path,label,score\na," + "9" * 9000 + ",1\n", r":2: column label: '9{60}' is not"),
    "underscore": ("path,label,score\na,1_0,1\n", r":2: column label: '1_0'"),
    "empty int": ("path,label,score\na,,1\n", r":2: column label: '' is not"),
    "empty float": ("path,label,score\na,1,\n", r":2: column score: '' is not a finite number"),
    "nan": ("path,label,score\na,1,1\na,1,nan\n", r":3: column score: 'nan' is not a finite number"),
    "inf": ("path,label,score\na,1,-inf\n", r":2: column score: '-inf'"),
    "true": ("path,label,score\na,True,1\n", r":2: column label: 'True'"),
    "after two-line field": ('path,label,score\n"a\nb",1,1\nc,x,1\n', r":4: column label: 'x'"),
    "NUL": (b"path,label,score\na,1,1\nb\0,1,1\n", r":3: a NUL byte"),
    "binary": (bytes(range(1, 256)) * 10, r":\d+: (not UTF-8|no column)"),
    "latin-1": ("path,label,score\na,1,1\nä,1,1\n".encode("latin-1"), r":3: not UTF-8"),
    "UTF-16": ("path,label,score\n".encode("utf-16"), r":1: UTF-16 text; save the table as UTF-8 CSV"),
    "UTF-16 without a mark": ("path,label,score\n".encode("utf-16-le"), r":1: UTF-16 text; save the table as UTF-8 CSV"),
    "UTF-16, high first": ("path,label,score\n".encode("utf-16-be"), r":1: UTF-16 text; save the table as UTF-8 CSV"),
    "image": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r":3: a NUL byte"),
    "open quote": ('path,label,score\n"a,1,1\n', r":\d: not a CSV line"),
    "long line": (b"path,label,score\na,1,1\n" + b"x" * 10_000_000, r":3: a line of more than 65536 bytes"),
    "long header": (b"x," * 5_000_000, r":1: a line of more than"),
    "long field": ('path,label,score\n"' + ("x" * 60 + "\n") * 4000 + '",1,1\n', r":\d+: not a CSV line: field larger"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_hostile_tables_give_one_line(tmp_path, name):
    data, message = HOSTILE[name]
    path = write(tmp_path / "t.csv", data)
    started = time.perf_counter()
    with pytest.raises(UsageError, match=re.escape(str(path)) + message) as caught:
        read_csv_table(path, COLUMNS)
    assert time.perf_counter() - started < 5
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_random_damage_never_escapes_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    good = "path,label,score\n" + "".join(f"image_{row}.png,{row % 2},{row / 7}\n" for row in range(30))
    read, messages = 0, []
    for number in range(300):
        data = bytearray(good.encode())
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] = rng.integers(0, 256)
        path = write(tmp_path / f"{number}.csv", bytes(data[: rng.integers(1, len(data))]))
        try:
            read_csv_table(path, COLUMNS)
            read += 1
        except UsageError as error:
            messages.append(str(error))
    assert read > 0
    assert messages
    assert all(re.match(r".*\.csv:\d+: .*$", message) for message in messages)


def test_unreadable_and_oversized_tables(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"none.csv: cannot be read: No such file"):
        read_csv_table(tmp_path / "none.csv", COLUMNS)
    with pytest.raises(UsageError, match="a folder, not a file"):
        read_csv_table(tmp_path, COLUMNS)
    path = write(tmp_path / "t.csv", "path,label,score\na,1,1\nb,1,1\n")
    with pytest.raises(UsageError, match="2 rows, more than the 1 expected"):
        read_csv_table(path, COLUMNS, max_rows=1)
    monkeypatch.setattr(csv_files, "MAX_TABLE_BYTES", 10)
    with pytest.raises(UsageError, match="too many for a table"):
        read_csv_table(path, COLUMNS)


def test_half_a_million_rows_are_read_in_about_a_second(tmp_path):
    """The size of a candidate list of 888 CT scans: 551,065 rows."""
    block = "".join(
        f"1.3.6.1.4.1.14519.5.2.1.6279.6001.{10**29 + row},{-56.08 + row},{-67.85 - row},{-311.92 + row},{row % 2}\n"
        for row in range(1000)
    )
    path = write(tmp_path / "candidates.csv", "seriesuid,coordX,coordY,coordZ,class\n" + block * 551)
    columns = {"seriesuid": str, "coordX": float, "coordY": float, "coordZ": float, "class": int}
    started = time.perf_counter()
    table = read_csv_table(path, columns)
    assert time.perf_counter() - started < 10  # about a second on an idle core
    assert len(table) == 551_000
    assert table["class"].sum() == 551_000 // 2
    write(path, "seriesuid,coordX,coordY,coordZ,class\n" + block * 551 + "x,1,2,z,0\n")
    with pytest.raises(UsageError, match=r"candidates.csv:551002: column coordZ: 'z' is not a finite number"):
        read_csv_table(path, columns)
