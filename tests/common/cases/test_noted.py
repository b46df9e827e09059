"""The file of noted copies, as others may leave it."""

import pytest

from common.cases.noted import FILE, read_noted
from common.errors import UsageError


@pytest.mark.parametrize(
    "text", ["[1]", '{"copies": "abc"}', '{"copies": [["a", "b"]]}', '{"copies": [["a", "b", 1%s]]}' % ("0" * 400)]
)
def test_damaged_notes_are_told_in_one_line(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UsageError, match="copies.json: damaged; remove it"):
        read_noted(tmp_path)


def test_a_folder_in_place_of_the_notes_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(UsageError, match="copies.json: a folder, not a file"):
        read_noted(tmp_path)
