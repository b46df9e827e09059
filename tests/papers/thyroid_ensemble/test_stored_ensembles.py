"""Every finished run of the thyroid ensemble says which ensembles it stored, also where it stored none."""

import json
from types import SimpleNamespace

import pytest

from replications.thyroid_ensemble import run


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_without_an_ensemble_says_so(tmp_path, monkeypatch, failed):
    cell = SimpleNamespace(key="member")
    members = {"paper": {"cells": [cell], "members": ["a"]}} if failed else {}
    monkeypatch.setattr(run.plans, "plan_members", lambda *_: members)
    monkeypatch.setattr(run.plans, "plan_attention", lambda *_: {})
    monkeypatch.setattr(run, "train", lambda *_: {"member": "failed"})
    (tmp_path / "ensembles.json").write_text('{"paper": "of an earlier command"}')
    assert run.use_networks(SimpleNamespace(folder=tmp_path), [], [], []) == {}
    assert json.loads((tmp_path / "ensembles.json").read_text()) == {}
