"""Where a result comes from: versions of the packages, state of the code, the commands that led to it."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

from common.records.results import Environment, Git


def describe_environment(*, backend: str | None, device: str | None, deterministic: bool) -> Environment:
    """Versions behind a result, without importing the packages.

    `backend` (tensorflow, jax), `device` (in words, e.g. "2 CPU cores") and `deterministic` come from the caller,
    who has the network library loaded. A package that is not installed has version None.
    """
    versions = {name: _find_version(name) for name in ("keras", "tensorflow", "numpy", "scipy", "scikit-learn")}
    known = {"backend": backend, "device": device, "deterministic": deterministic}
    return Environment.model_validate({"python": platform.python_version(), **known, **versions})


def list_packages() -> str:
    """Every installed distribution as `name==version`, one a line, sorted: the content of environment.txt."""
    found = {(item.metadata["Name"], item.version) for item in importlib.metadata.distributions()}
    lines = {f"{name}=={version}" for name, version in found if name}
    return "\n".join([f"# Python {platform.python_version()}", *sorted(lines, key=str.lower)]) + "\n"


def git_state(folder: Path) -> Git:
    """Commit and state of the working tree that holds `folder`, untracked files included; both None outside git."""

    def run(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()

    try:
        return Git(commit=run("rev-parse", "HEAD"), dirty=bool(run("status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return Git(commit=None, dirty=None)


def _find_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
