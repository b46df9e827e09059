"""Every reader of the suite on damaged files: sound data, or one line that names the fault.

python -m pytest -n 0 tests/fuzz --mutations 10000 gives each reader so many damaged files; here it gets 300.
"""

import pytest
from readers import READERS

LEAST_READERS = 90  # were there; a reader that goes takes its line from the table with it


@pytest.mark.parametrize("name", READERS)
def test_a_reader_gives_sound_data_or_one_line(attack, tmp_path, mutations, name):
    found = attack("readers", name, tmp_path, mutations)
    assert found["faults"] == {}, found
    assert found["accepted"] + found["refused"] == mutations
    assert found["refused"] > 0  # else the mutations test nothing
    assert found["accepted"] > 0 or READERS[name].sealed


def test_no_reader_is_lost():
    assert len(READERS) >= LEAST_READERS
