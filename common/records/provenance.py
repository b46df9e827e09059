"""Where a result comes from: versions of the packages, state of the code, the commands that led to it."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common.errors import UsageError
from common.files import load_json, write_json_atomic
from common.records.bounds import describe_fault
from common.records.results import Command, Environment, Git

CODE = (":(top,glob)common/**/*.py", ":(top,glob)replications/**/*.py")  # what trainings are made of, for git

# Flags whose values say who works where, and on what; what is published instead.
HIDDEN = {
    "--data": "/path/to/data", "--out": "/path/to/runs", "--weights": "/path/to/weights", "--cases": "/path/to/cases.csv",
    "--columns": "OURS=YOURS", "--cluster": "ADDRESS",
}  # fmt: skip
KNOWN_WEIGHTS = ("imagenet", "random")


def describe_environment(
    *, backend: str | None, device: str | None, deterministic: bool, versions: Mapping[str, str | None] | None = None
) -> Environment:
    """Versions behind a result, without importing the packages.

    `backend` (tensorflow, jax), `device` (in words, e.g. "2 CPU cores") and `deterministic` come from the caller,
    who has the network library loaded; `versions` are those of the trainings where they were noted (`list_versions`). A package
    that is not installed has version None.
    """
    here = {name: _find_version(name) for name in ("keras", "tensorflow", "jax", "numpy", "scipy", "scikit-learn")}
    known = {"backend": backend, "device": device, "deterministic": deterministic}
    return Environment.model_validate({"python": platform.python_version(), **known, **here, **(versions or {})})


def list_versions(backend: str | None) -> dict[str, str | None]:
    """Versions that a training's result depends on: Python, NumPy and, with a `backend`, Keras and the library under it."""
    packages = ("numpy", "keras", backend) if backend else ("numpy",)
    return {"python": platform.python_version()} | {name: _find_version(name) for name in packages}


def list_packages() -> str:
    """Every installed distribution as `name==version`, one a line, sorted: the content of environment.txt."""
    found = {(item.metadata["Name"], item.version) for item in importlib.metadata.distributions()}
    lines = {f"{name}=={version}" for name, version in found if name}
    return "\n".join([f"# Python {platform.python_version()}", *sorted(lines, key=str.lower)]) + "\n"


def git_state(folder: Path) -> Git:
    """Commit and state of the working tree that holds `folder`, untracked files included; both None outside git."""
    try:
        return Git(commit=_run_git(folder, "rev-parse", "HEAD"), dirty=bool(_run_git(folder, "status", "--porcelain")))
    except (OSError, subprocess.SubprocessError):
        return Git(commit=None, dirty=None)


def has_changed_code(folder: Path) -> bool | None:
    """Whether a module of the checkout that holds `folder` is uncommitted or untracked, documents aside; None outside git."""
    try:
        return bool(_run_git(folder, "status", "--porcelain", "--untracked-files=all", "--", *CODE))
    except (OSError, subprocess.SubprocessError):
        return None


def _run_git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def describe_command(module: str) -> str:
    """The command line of this process as `python -m <module> ...`, to be published: without names of files, folders, columns and
    machines, which are a user's (HIDDEN). argparse takes the beginning of a flag for the flag.

    >>> from unittest import mock
    >>> with mock.patch("sys.argv", ["run.py", "--data", "ann's scans", "--out=/home/ann/runs", "--seeds", "0"]):
    ...     describe_command("replications.paper.run")
    'python -m replications.paper.run --data /path/to/data --out=/path/to/runs --seeds 0'
    >>> with mock.patch("sys.argv", ["run.py", "--clus", "tcp://ann:8786", "--weights", "imagenet", "/home/ann"]):
    ...     describe_command("replications.paper.run")
    'python -m replications.paper.run --cluster ADDRESS --weights imagenet /path/to/file'
    """
    words: list[str] = []
    hidden = ""  # what stands for the value of the flag before
    for word in sys.argv[1:]:
        name, equals, value = word.partition("=")
        flag = next((flag for flag in HIDDEN if len(name) > 2 and flag.startswith(name)), "")
        if hidden:
            words.append(word if word in KNOWN_WEIGHTS else hidden)
            hidden = ""
        elif flag and equals:
            words.append(f"{flag}={value if value in KNOWN_WEIGHTS else HIDDEN[flag]}")
        elif flag:
            words.append(flag)
            hidden = HIDDEN[flag]
        else:
            words.append("/path/to/file" if Path(word).is_absolute() else word)
    return shlex.join(["python", "-m", module, *words])


def read_commands(path: Path) -> list[Command]:
    """The commands that led to a run, in the order given; none where the file is missing. Raises UsageError if it is damaged."""
    remedy = "put it right, or move it away and give the command again: the earlier commands are then not recorded"
    try:
        content = load_json(Path(path))
        if isinstance(content, dict):  # earlier versions wrote the list alone
            if content.keys() != {"commands", "sha256"} or content["sha256"] != _hash_commands(content["commands"]):
                raise ValueError("it is not what was written")
            content = content["commands"]
        return TypeAdapter(list[Command]).validate_python(content, strict=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except ValidationError as error:
        raise UsageError(f"{path}: damaged: {describe_fault(error)}; {remedy}") from None
    except ValueError as error:
        raise UsageError(f"{path}: damaged JSON ({error}); {remedy}") from None


def write_commands(path: Path, commands: Sequence[Command]) -> None:
    """Write the commands that led to a run, whole or not at all, with the sha256 of what they say."""
    content = [command.model_dump() for command in commands]
    write_json_atomic(path, {"commands": content, "sha256": _hash_commands(content)})


def _hash_commands(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _find_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
