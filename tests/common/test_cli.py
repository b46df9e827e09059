"""Flags, typed overrides and exit codes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common import __version__, cli
from common.errors import UsageError, run_main
from common.ranges import Conflict


@dataclass(frozen=True)
class Settings:
    epochs: int = 100
    rate: float = 1e-4
    name: str = "a"
    flip: bool = True
    sides: tuple[int, ...] = (128, 256)

    def find_conflicts(self) -> Iterator[Conflict]:
        if self.epochs < len(self.sides):
            yield ("sides", "epochs"), "more sides than epochs"


def parse(*argv: str) -> cli.Options:
    return cli.parse_options(argv, "package.run", "description", ["smoke", "paper"])


def test_defaults_say_nothing_but_the_protocols():
    options = parse()
    assert options.protocols == ("paper", "leakfree")
    assert (options.preset, options.tables, options.seeds, options.overrides) == (None, None, None, {})
    assert options.workers == cli.count_cores()
    assert options.out == Path("runs")


def test_lists_and_overrides():
    argv = ["--protocol", "leakfree", "--tables", "2, labels", "--seeds", "0,4"]
    options = parse(*argv, "--set", "rate=1e-3", "--set", "sides=64")
    assert options.protocols == ("leakfree",)
    assert options.tables == ("2", "labels")
    assert options.seeds == (0, 4)
    assert cli.apply_overrides(Settings(), options.overrides) == Settings(rate=1e-3, sides=(64,))


@pytest.mark.parametrize(
    "argv",
    [
        "--preset none",
        "--seeds 0,x",
        "--seeds 1,1",
        "--seeds -1",
        "--workers 0",
        "--tables 2,,3",
        "--workers 2 --cluster tcp://127.0.0.1:1",
        "--nonsense",
    ],
)
def test_usage_errors_exit_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(*argv.split())
    assert stopped.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("epoch", "3", "did you mean epochs"),
        ("zzz", "3", "Known: epochs, flip, name, rate, sides"),
        ("epochs", "3.5", "expected a whole number"),
        ("rate", "fast", "expected a number"),
        ("flip", "1", "expected true or false"),
        ("sides", "a,b", "expected a list of int"),
    ],
)
def test_wrong_overrides_name_the_fault(key, text, message):
    with pytest.raises(UsageError, match=message):
        cli.apply_overrides(Settings(), {key: text})


def test_settings_that_contradict_one_another_name_what_was_given_first():
    with pytest.raises(UsageError, match="^--set epochs=1 with sides=128,256: more sides than epochs$"):
        cli.apply_overrides(Settings(), {"epochs": "1"})


def test_override_without_value():
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        parse("--set", "epochs")


def test_exit_codes(capsys):
    def fail():
        raise UsageError("data.csv:3: label 7 is not 0 or 1; correct it")

    def interrupt():
        raise KeyboardInterrupt

    assert run_main(lambda: 0) == 0
    assert run_main(fail) == 2
    assert capsys.readouterr().err == "error: data.csv:3: label 7 is not 0 or 1; correct it\n"
    assert run_main(interrupt) == 130
    assert run_main(lambda: os.kill(os.getpid(), signal.SIGTERM) or 0) == 143
    assert capsys.readouterr().err == 2 * "stopped; the same command goes on where it stopped\n"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # as before


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.parse_options(["--version"], "some.module", "", ["smoke"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split()[-1] == __version__


def test_columns_of_own_cases():
    flags = ["--cases", "list.csv", "--columns", "path=file, label=diagnosis"]
    options = cli.parse_options(flags, "replications.paper.run", "", ["demo"])
    assert options.columns == {"path": "file", "label": "diagnosis"}
    for wrong in ("path", "path=", "=file", "path=a,path=b", ""):
        with pytest.raises(SystemExit):
            cli.parse_options(["--columns", wrong], "replications.paper.run", "", ["demo"])


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", b"gr\\xf6\\xdfe \\u2192\n"), ("latin-1", b"gr\xf6\xdfe \\u2192\n")])
def test_letters_that_the_screen_lacks_are_written_as_escapes(encoding, shown):
    program = "from common.errors import run_main; run_main(lambda: print('gr\\u00f6\\u00dfe \\u2192'))"
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, b"")


def test_a_setting_that_says_what_the_preset_says_changes_nothing():
    options = parse("--set", "epochs=3", "--set", "rate=0.001", "--set", "sides=64")
    assert cli.keep_changes(options, Settings(rate=1e-3, sides=(64,))).overrides.keys() == {"epochs"}
    assert cli.keep_changes(options, Settings(rate=1e-2, sides=(64,))).overrides.keys() == {"epochs", "rate"}
