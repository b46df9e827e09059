"""The rules of the layout: who may import whom, what importing does, where numbers of papers stand, names and sizes."""

import ast
import importlib
import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from common.records.paper import load_paper

ROOT = Path(__file__).parents[2]
COMMON = sorted((ROOT / "common").rglob("*.py"))
PACKAGES = sorted(p.parent for p in (ROOT / "replications").glob("*/config.py"))
MODULES = [*COMMON, *(m for p in PACKAGES for m in sorted(p.rglob("*.py")))]
# room -> rooms it may import, besides itself; a file of common/ itself is a room of its own
FLOOR = {"errors"}
GROUND = FLOOR | {"files", "cli", "ranges", "csv_text", "progress", "parallel"}
MIDDLE = GROUND | {"data", "training", "records"}
MAY_IMPORT = {
    "errors": set(), "files": FLOOR, "ranges": FLOOR, "csv_text": FLOOR, "cli": FLOOR | {"ranges"}, "figures": FLOOR | {"files"},
    "progress": FLOOR, "parallel": FLOOR | {"cli"},
    "data": GROUND, "training": GROUND, "records": GROUND,
    "cases": MIDDLE, "evaluation": MIDDLE,
}  # fmt: skip
MAY_IMPORT["audit"] = MIDDLE | {"cases", "evaluation"}
MAY_IMPORT["report"] = MAY_IMPORT["audit"] | {"audit", "figures"}
MAY_IMPORT["runs"] = MAY_IMPORT["report"] | {"report"}
NO_KERAS = ("config", "data", "experiments", "run", "figures")  # of every package: they plan and report without networks
LIMIT, TEST_LIMIT, RUN_LIMIT = 350, 420, 200  # lines of a module, of a test file, of a run.py
READING_ORDER = ("config", "data", "models", "train", "experiments", "figures", "run", "predict")  # files of every package
COMMANDS = ("run", "predict")  # nothing imports them
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "misc", "base", "manager", "tools"}
PACKAGE_FILES = {"README.md", "paper.toml", "__init__.py", "__main__.py", "config.py", "data.py", "models.py", "train.py",
                 "experiments.py", "run.py", "predict.py"}  # fmt: skip


def name_module(path: Path) -> str:
    """Full name of a module; of a package for its __init__.py."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def name_room(module: str) -> str | None:
    """The room of a module of common."""
    parts = module.split(".")
    return parts[1] if parts[0] == "common" and len(parts) > 1 else None


def imports_of(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of everything a module imports ("a.b" also for `from a import b`)."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


NAMES = {name_module(path): path for path in MODULES}


def modules_of(path: Path) -> set[str]:
    """Modules of the project that a module imports: for `from a import b` a.b where it is one, else a."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in NAMES else node.module)
    return found & NAMES.keys()


def reach(start: str) -> set[str]:
    """Modules of its package that a module imports, at its head or inside a function, itself or through others."""
    package = ".".join(start.split(".")[:2]) + "."
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = {name for name in modules_of(NAMES[waiting.pop()]) if name.startswith(package)} - found
        found |= new
        waiting += new
    return found


def names_paper(text: str, paper: str) -> bool:
    """Whether source text names a paper's package: quoted alone, or as a part of a path or module; the word in prose does not."""
    quoted = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    return paper in quoted or re.search(rf"\b(replications|results|runs|data)[./]{paper}\b", text) is not None


@pytest.mark.parametrize("path", COMMON, ids=lambda p: p.relative_to(ROOT / "common").as_posix())
def test_common_knows_no_paper(path):
    assert not [name for name in imports_of(path) if name.startswith("replications")]
    assert not [package.name for package in PACKAGES if names_paper(path.read_text(), package.name)]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("import replications.hips.data", True),
        ("MODULE = 'replications.hips'", True),
        ("if package == 'hips': pass", True),
        ("folder = 'results/hips'", True),
        ("def crop_hips(hips): return hips  # of hips", False),
        ("MESSAGE = 'pictures of hips'", False),
        ("MODULE = 'replications.hips_of_dogs'", False),
    ],
)
def test_a_paper_is_named_by_its_package_not_by_a_word(text, named):
    assert names_paper(text, "hips") is named


def test_every_room_has_its_place():
    rooms = {name_room(name) for name in NAMES} - {None}
    assert rooms == MAY_IMPORT.keys(), "say what a new room may import"
    for path in COMMON:
        assert (path.parent / "__init__.py").is_file(), path


def test_imports_of_rooms_run_one_way():
    """runs > report > audit > {cases, evaluation} > {data, training, records} > files, cli, errors; figures stands alone."""
    wrong = set()
    for path in COMMON:
        module = name_module(path)
        room = name_room(module)
        for other in modules_of(path):
            if other == "common":  # its version
                continue
            if room is None or name_room(other) not in {room, *MAY_IMPORT[room]}:
                wrong.add((module, other))
    assert not wrong


def test_one_writer_of_csv():
    """Which guards the cells that a spreadsheet would compute."""
    for path in [*MODULES, *(ROOT / "docs" / "template").rglob("*.py")]:
        calls = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not calls & {"to_csv", "writer", "DictWriter"} or path.name == "csv_text.py", path


READERS = [m for m in MODULES if m.parent.name == "sources" or m.name in ("data.py", "original.py") or m.parent.name == "data"]
WALKS = {"glob", "rglob", "iterdir", "walk", "scandir", "listdir"}


@pytest.mark.parametrize("path", READERS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_one_walker_for_all_readers(path):
    """What lies in a folder is asked of common/data/folder.py, which leaves out what systems add ("._a.png")."""
    called = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    calls = {function.attr for function in called if isinstance(function, ast.Attribute)}
    known = {"folder.py": WALKS, "names.py": {"listdir"}, "phantoms.py": {"iterdir", "rglob"}}  # phantoms: of the package's own
    assert not (calls & WALKS) - (known.get(path.name, set()) if path.parent == ROOT / "common/data" else set())


def test_no_circle_of_imports():
    """No module of common imports itself through others, not even inside functions."""
    arrows = {name: modules_of(path) - {name} for name, path in NAMES.items() if name.startswith("common")}
    while leaves := [name for name, others in arrows.items() if not others & arrows.keys()]:
        for name in leaves:
            del arrows[name]
    assert not arrows


def find_heavy(path: Path) -> set[str]:
    """Network libraries that a module imports, at its head or inside a function."""
    return {name.split(".")[0] for name in imports_of(path)} & {"keras", "tensorflow"}


def test_only_the_room_of_training_imports_keras():
    for path in COMMON:
        assert name_room(name_module(path)) == "training" or not find_heavy(path), path


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_planning_and_reporting_import_no_keras(package):
    """Neither do readers in sources/, nor any module that these import; every other module of a package may."""
    start = f"replications.{package.name}."
    heads = [start + stem for stem in NO_KERAS] + [name for name in NAMES if name.startswith(f"{start}sources")]
    for name in set(heads).union(*map(reach, heads)):
        assert not find_heavy(NAMES[name]), name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_packages_do_not_import_each_other(package):
    for path in package.rglob("*.py"):
        foreign = {name.split(".")[1] for name in imports_of(path) if name.startswith("replications.")} - {package.name}
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_packages_import_in_reading_order(package):
    """A file that every package has imports earlier ones only, be it through the package's own modules; a reader config alone."""
    start = f"replications.{package.name}."
    modules = {name: path for name, path in NAMES.items() if name.startswith(start)}
    for name, path in modules.items():
        stem = name.removeprefix(start)
        used = {other.removeprefix(start) for other in modules_of(path) & modules.keys()}
        assert not used & set(COMMANDS), f"{stem} imports a command"
        if stem.startswith("sources"):
            assert used & set(READING_ORDER) <= {"config"}, stem
        elif stem in READING_ORDER:
            reached = {other.removeprefix(start) for other in reach(name)} & set(READING_ORDER)
            assert reached <= set(READING_ORDER[: READING_ORDER.index(stem)]), f"{stem} imports {reached}"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_packages_have_the_same_files(package):
    assert {p.name for p in package.iterdir()} >= PACKAGE_FILES


def test_core_runs_without_network_library():
    """Importing every room but training, and what a package needs to plan and report, loads neither TensorFlow nor Keras."""
    names = [name for name, path in NAMES.items() if path in COMMON and name_room(name) != "training"]
    names += [f"replications.{p.name}.{m}" for p in PACKAGES for m in NO_KERAS]
    names += [name for name in NAMES if ".sources" in name]
    code = f"import sys\nfor n in {names!r}: __import__(n)\nprint([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_importing_does_nothing(path):
    """At module level stand only imports (some for types alone), definitions, constants and the __main__ guard."""
    for node in ast.parse(path.read_text()).body:
        allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_guard = isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")
        assert isinstance(node, allowed) or is_docstring or is_guard, f"line {node.lineno}: {ast.unparse(node)[:60]}"
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            assert "os.environ" not in ast.unparse(node), f"line {node.lineno} touches the environment"


def test_imports_open_no_socket_and_write_no_file(tmp_path):
    names = sorted(NAMES)
    code = f"""
import sys, socket, builtins, os, tempfile
tempfile.gettempdir()
for heavy in ("keras", "tensorflow"): __import__(heavy)
def refuse(*a, **k): raise AssertionError("a socket at import")
socket.socket.connect = refuse
before = dict(os.environ)
real = builtins.open
def guarded(file, mode="r", *a, **k):
    assert not set(mode) & set("wax+"), f"{{file}} is written at import"
    return real(file, mode, *a, **k)
builtins.open = guarded
sys.dont_write_bytecode = True
for n in {names!r}: __import__(n)
assert dict(os.environ) == before, "environment changed at import"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_module_names_and_sizes():
    for name, path in NAMES.items():
        assert path.stem not in FORBIDDEN_NAMES, path
        lines = len(path.read_text().splitlines())
        assert lines <= LIMIT, f"{name} has grown out of one subject"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_printed_numbers_stand_in_paper_toml_only(package):
    """No accuracy that the paper printed is a literal in the package's code."""
    printed = {f"{c.value:.{c.digits}f}" for c in load_paper(package / "paper.toml").claims if c.value and c.unit == "percent"}
    for path in package.rglob("*.py"):
        numbers = {
            node.value for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, float)
        }  # fmt: skip
        assert not printed & {f"{number:.1f}" for number in numbers if number > 1}, path


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_every_setting_cites_its_place(package):
    """Every field of Config has a comment beside it, above it, or in the heading of its group, which follows an empty line."""
    text = (package / "config.py").read_text()
    body = text[text.index("class Config") : text.index("    def find_conflicts")]
    assert re.search(r"^    \w+: ", body, flags=re.M)
    group_cited = False
    for before, line in itertools.pairwise(["", *body.splitlines()[1:]]):
        if line.strip().startswith("#") and not before.strip():
            group_cited = "sec." in line or "Table" in line or "Fig." in line or "leakfree" in line
        elif re.match(r"    \w+: ", line):
            assert group_cited or "#" in line or before.strip().startswith("#"), line


def test_no_pickle():
    for path in MODULES:
        names = {"pickle", "dill", "shelve"} | (
            {"joblib"} if path.name != "parallel.py" else set()
        )  # its processes, not its files
        assert not names & imports_of(path), path
        assert not re.search(r"joblib import .*\b(dump|load)", path.read_text()), path
        assert "allow_pickle=True" not in path.read_text()
        assert "safe_mode=False" not in path.read_text()


GLOBAL_DRAWS = re.compile(r"np\.random\.(seed|rand|randn|randint|random|uniform|normal|choice|permutation|shuffle)")


def find_global_draws(path: Path) -> list[str]:
    """Uses of a generator that the whole process shares: of `random`, NumPy, Keras and TensorFlow, and estimators of scikit-learn
    that are given no random_state."""
    text = path.read_text()
    tree = ast.parse(text)
    estimators = {}  # name in the module -> class or function of scikit-learn
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
            module = importlib.import_module(node.module)
            estimators |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module}
            found += [f"{path.name}:{node.lineno} random"] * ("random" in names and path.name != "random_networks.py")
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {keyword.arg for keyword in node.keywords}
        known = inspect.signature(estimators[name]).parameters if name in estimators else {}
        shared = GLOBAL_DRAWS.fullmatch(name) is not None
        shared |= name.endswith(("set_random_seed", "tf.random.set_seed"))
        shared |= name.endswith(("default_rng", "SeedGenerator")) and not node.args and not node.keywords
        shared |= name.startswith("keras.random.") and not name.endswith("SeedGenerator") and "seed" not in given
        shared |= "random_state" in known and "random_state" not in given
        found += [f"{path.name}:{node.lineno} {name}"] * shared
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_draws_from_a_global_generator(path):
    """Other threads share it: results would depend on what they draw. random_networks.py stands in for it."""
    assert find_global_draws(path) == []


def test_global_draws_are_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import random\nfrom sklearn.svm import SVC\nnp.random.seed(0)\nnp.random.default_rng()\nSVC(C=1)\n"
        "keras.random.normal((2,))\nkeras.random.normal((2,), seed=g)\nnp.random.default_rng(0)\nSVC(random_state=0)\n"
    )
    assert [text.split(":")[1].split()[0] for text in find_global_draws(path)] == ["1", "3", "4", "5", "6"]


def test_test_files_are_short():
    for path in (ROOT / "tests").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= TEST_LIMIT, f"{path} has grown out of one subject"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_run_is_a_story_of_one_page_and_a_half(package):
    assert len((package / "run.py").read_text().splitlines()) < RUN_LIMIT


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_code_is_clean(command):
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
