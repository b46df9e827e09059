"""The made-up paper of the report's tests."""

from pathlib import Path

import pytest
from sample_report import PAPER

from common.records.paper import Paper, load_paper


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    path = tmp_path / "some_paper" / "paper.toml"
    path.parent.mkdir()
    path.write_text(PAPER)
    return load_paper(path)
