"""Nothing is fetched unasked: what a run without --weights imagenet does, and what is said before a file comes."""

import pytest

from common.cli import parse_options
from common.errors import UsageError
from common.training.weights import Offer, confirm_fetch

OFFERS = [Offer("https://example.org/nets/a.h5", 95), Offer("https://example.org/b", 3, file="b.h5")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def read_options(*argv: str):
    return parse_options(argv, "replications.toy.run", "", ["demo"])


def test_a_default_fetches_nothing_and_names_what_is_lacking(cache):
    with pytest.raises(UsageError) as error:
        confirm_fetch("imagenet", OFFERS, read_options())
    message = str(error.value)
    assert "a.h5, 95 MB, https://example.org/nets/a.h5" in message
    assert "b.h5, 3 MB, https://example.org/b" in message
    assert "--weights imagenet fetches 98 MB" in message
    assert str(cache) in message


def test_what_is_asked_for_is_named_before_it_comes(cache, capsys):
    (cache / "b.h5").write_bytes(b"")
    assert confirm_fetch("imagenet", OFFERS, read_options("--weights", "imagenet")) == "imagenet"
    assert capsys.readouterr().err.splitlines() == ["fetching: a.h5, 95 MB, https://example.org/nets/a.h5"]


def test_what_is_here_needs_no_question(cache, capsys):
    for name in ("a.h5", "b.h5"):
        (cache / name).write_bytes(b"")
    assert confirm_fetch("imagenet", OFFERS, read_options()) == "imagenet"
    assert capsys.readouterr().err == ""


def test_a_dry_run_names_the_files_and_goes_on_without(capsys):
    assert confirm_fetch("imagenet", OFFERS, read_options("--dry-run", "--weights", "imagenet")) == "random"
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first.startswith("would fetch: a.h5, 95 MB")
    assert last.startswith("would fetch: b.h5")


def test_a_dry_run_says_that_the_run_would_stop(cache, capsys):
    """Where the run fetches nothing unasked, the dry run does not say that it would."""
    assert confirm_fetch("imagenet", OFFERS, read_options("--dry-run")) == "random"
    *files, last = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in files] == ["needs: a.h5", "needs: b.h5"]
    assert last.startswith(f"not in {cache}: without --dry-run this command stops here; --weights imagenet fetches 98 MB")


@pytest.mark.parametrize("chosen", ["random", "phantom", "some/folder"])
def test_other_weights_come_from_nowhere(chosen, capsys):
    assert confirm_fetch(chosen, OFFERS, read_options("--weights", chosen)) == chosen
    assert capsys.readouterr().err == ""
