"""What the tests of every paper share. Each folder has a fixture `paper`: what its package's paper.toml says."""

from collections.abc import Callable

import pytest

from common.records.paper import Paper


@pytest.fixture
def find_choice(paper: Paper) -> Callable[[str], str]:
    """Beginning of an item that the paper leaves open -> what paper.toml says was chosen."""

    def find(item: str) -> str:
        (entry,) = (entry for entry in paper.unstated if entry.item.startswith(item))
        return entry.chose

    return find
