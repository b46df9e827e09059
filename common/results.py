"""results.json with its provenance, written atomically; run folders; publication of an accepted run."""

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.files import replace_folder, to_plain, write_json_atomic

SCHEMA = 1
PUBLISHED_FILES = ("results.json", "predictions.csv.gz", "history.csv.gz", "environment.txt", "table.md")
EXTRA_LISTS = ("comparisons", "statements", "not_run", "figures", "collapsed", "commands", "cells")  # shown in reports
ENTRIES = (
    "schema", "paper", "preset", "protocol", "overrides", "on_protocol", "command", "git", "started", "seconds",
    "environment", "datasets", "weights", "config", "selection", "seeds", "rows", "claims", "extra",
)  # fmt: skip


def config_hash(config: Mapping[str, Any]) -> str:
    """12 hex digits that change when any setting changes; independent of the order of the keys."""
    text = json.dumps(to_plain(config, digits=17), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_folder(root: Path, paper: str, preset: str, protocol: str, config: Mapping[str, Any]) -> Path:
    """`root/<paper>/<preset>-<protocol>-<config hash>`; nothing is created.

    `config` holds everything that changes the numbers (settings, data identity, weights), so that the same command
    finds its unfinished run again and a different one never mixes with it.
    """
    return Path(root) / paper / f"{preset}-{protocol}-{config_hash(config)}"


def environment(*, backend: str, device: str, deterministic: bool) -> dict[str, Any]:
    """Versions behind a result, without importing the packages.

    `backend` (tensorflow, jax), `device` (in words, e.g. "2 CPU cores") and `deterministic` come from the caller,
    who has the network library loaded. A package that is not installed has version None.
    """
    versions = {name: _find_version(name) for name in ("keras", "tensorflow", "numpy", "scipy", "scikit-learn")}
    return {
        "python": platform.python_version(),
        **versions,
        "backend": backend,
        "device": device,
        "deterministic": bool(deterministic),
    }


def list_packages() -> str:
    """Every installed distribution as `name==version`, one a line, sorted: the content of environment.txt."""
    found = {(item.metadata["Name"], item.version) for item in importlib.metadata.distributions()}
    lines = {f"{name}=={version}" for name, version in found if name}
    return "\n".join([f"# Python {platform.python_version()}", *sorted(lines, key=str.lower)]) + "\n"


def git_state(folder: Path) -> dict[str, Any]:
    """{commit, dirty} of the working tree that holds `folder`, untracked files included; both None outside git."""

    def run(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    try:
        return {"commit": run("rev-parse", "HEAD"), "dirty": bool(run("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def build_results(
    *,
    paper: str,
    preset: str,
    protocol: str,
    overrides: Mapping[str, Any],
    command: str,
    git: Mapping[str, Any],
    started: str,
    seconds: float,
    environment: Mapping[str, Any],
    datasets: Sequence[Mapping[str, Any]],
    weights: Mapping[str, Any],
    config: Mapping[str, Any],
    selection: Mapping[str, str],
    seeds: Sequence[int],
    rows: Sequence[Mapping[str, Any]],
    claims: Sequence[Mapping[str, Any]],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of results.json, schema 1.

    paper: package name; preset: smoke, demo or paper; protocol: paper, leakfree or both; overrides: settings given
    on the command line (empty: on protocol); started: ISO 8601 with zone; seconds: wall clock.
    datasets: {dataset, name (of the source), note, synthetic, cases, patients (None: unknown), classes {name: cases},
    files_sha256, unreadable [faults], splits}, with splits {protocol: {rule, folds, train, validation, test, left_out,
    sha256, leak {test_cases, same_patient, same_pixels, near_duplicate}}}; if they hold: substitute (other data than the
    paper's), private (no picture of it is published).
    weights: {source, sha256}; selection: {protocol: rule by which the scored epoch or model was chosen}.
    rows: {table, row, protocol, n, patients, positives, seeds, metrics {name: {mean, sd, low, high, by_seed}}}.
    claims: {table, row, metric, where, paper, tolerance, ours, low, high, verdict, note, impossible (as printed, by the audit;
    may be missing: a run from before it was kept)}.
    extra: free; the report shows these lists: comparisons (as `evaluation.compare_rows`), statements {id, protocol,
    verdict, detail}, not_run {table, row, reason}, figures {file, title, caption, shows_cases (may be missing)},
    collapsed {row, protocol, seeds}, commands {command, commit, dirty, started} (all that led here, in order), cells {key,
    commit}, tables {title, columns, rows, note}.
    """
    for dataset in datasets:
        if not isinstance(dataset.get("synthetic"), bool):
            raise ValueError(f"data set {dataset.get('dataset')!r} does not say whether it is synthetic")
    return {
        "schema": SCHEMA,
        "paper": paper,
        "preset": preset,
        "protocol": protocol,
        "overrides": dict(overrides),
        "on_protocol": not overrides and preset == "paper",
        "command": command,
        "git": dict(git),
        "started": started,
        "seconds": seconds,
        "environment": dict(environment),
        "datasets": list(datasets),
        "weights": dict(weights),
        "config": dict(config),
        "selection": dict(selection),
        "seeds": list(seeds),
        "rows": list(rows),
        "claims": list(claims),
        "extra": {**{name: [] for name in EXTRA_LISTS}, **(extra or {})},
    }


def read_results(path: Path) -> dict[str, Any]:
    """Read a results.json. Raises UsageError if it is missing, damaged, or of another schema."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); run the replication first") from None
    except ValueError as error:
        raise UsageError(f"{path}: damaged JSON ({error}); run the replication again") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UsageError(f"{path}: not a results file of schema {SCHEMA}; run the replication again")
    if missing := [name for name in ENTRIES if name not in content]:
        raise UsageError(f"{path}: entry {missing[0]!r} is missing; run the replication again")
    return content


def is_synthetic(results: Mapping[str, Any]) -> bool:
    """Whether any data set of the run consists of phantoms."""
    return any(dataset["synthetic"] for dataset in results["datasets"])


def find_figures(folder: Path, results: Mapping[str, Any]) -> list[Path]:
    """Paths of the figures that a result lists, in order; they need not exist. Raises UsageError for a name with a
    folder in it."""
    names = [figure["file"] for figure in results["extra"].get("figures", [])]
    if foreign := [name for name in names if Path(name).name != name]:
        raise UsageError(f"{folder}/results.json: figure {foreign[0]!r} must be a plain file name inside figures/")
    return [Path(folder) / "figures" / name for name in names]


def publish(run: Path, results_folder: Path) -> None:
    """Replace `results_folder` by the accepted content of a run: PUBLISHED_FILES and figures/*.png.

    Figures that show pictures of a data set that may not be passed on (`private`) are left out.

    Raises UsageError if the run used synthetic data, came from uncommitted code, or lacks one of the files.
    """
    run, results_folder = Path(run), Path(results_folder)
    results = read_results(run / "results.json")
    if is_synthetic(results):
        names = ", ".join(dataset["dataset"] for dataset in results["datasets"] if dataset["synthetic"])
        raise UsageError(f"{run}: not published: synthetic data ({names}); run it on real data")
    if results["git"].get("commit") is None:
        raise UsageError(f"{run}: not published: the commit of the code is unknown; run it from a git checkout")
    if results["git"].get("dirty") or any(command["dirty"] for command in results["extra"].get("commands", [])):
        raise UsageError(f"{run}: not published: uncommitted changes when it ran; commit, then run again")
    if any(dataset.get("private") for dataset in results["datasets"]):
        results["extra"]["figures"] = [entry for entry in results["extra"]["figures"] if not entry.get("shows_cases")]
    figures = find_figures(run, results)
    missing = [
        str(path.relative_to(run))
        for path in [*(run / name for name in PUBLISHED_FILES), *figures]
        if not path.is_file()
    ]
    if missing:
        raise UsageError(f"{run}: not published: missing {', '.join(missing)}; run the same command again to finish it")

    with replace_folder(results_folder) as fresh:
        (fresh / "figures").mkdir()
        for name in PUBLISHED_FILES:
            shutil.copyfile(run / name, fresh / name)
        write_json_atomic(fresh / "results.json", results)
        for path in figures:
            shutil.copyfile(path, fresh / "figures" / path.name)


def _find_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
