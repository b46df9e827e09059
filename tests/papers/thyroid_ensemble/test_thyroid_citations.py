"""Sections that the thyroid package cites: they exist, and what is said to stand there does."""

import re

import pytest

# The paper's sections in order, what each is about, and the exhibits that it brings in.
SECTIONS = {
    "1.1": ("data", ("Table 1", "Fig. 1")),
    "1.2": ("ROI, zero mean, augmentation", ("Fig. 2",)),
    "1.3": ("scales", ("Fig. 3",)),
    "1.4": ("three networks, heat maps", ("Fig. 4",)),
    "1.5": ("new head, two steps of training", ("Fig. 5", "Fig. 6")),
    "1.6": ("choice and fusion", ("Table 2", "Table 3", "Fig. 7")),
    "2": ("test set, metrics", ()),
    "2.1": ("without and with transfer", ("Fig. 8",)),
    "2.2": ("number of fine-tuned layers", ("Fig. 9",)),
    "2.3": ("single networks and ensemble", ("Table 4",)),
    "2.4": ("kinds of fusion, enumeration of weights", ("Table 5",)),
    "2.5": ("classic features", ("Table 6",)),
    "2.6": ("methods of other papers", ("Table 7", "Fig. 10")),
    "3": ("discussion", ("Fig. 11",)),
    "4": ("conclusion", ()),
}
HOMES = {exhibit: section for section, (_, exhibits) in SECTIONS.items() for exhibit in exhibits}
CITED = re.compile(r"\b[Ss]ec(?:tions?|\.) (\d(?:\.\d)?)((?:(?:,| and| to) \d\.\d)*)")
EXHIBITS = re.compile(r"\b(Tables?|Figs?\.|Figures?) (\d+)(?: and (\d+))?")
SUBJECTS = {  # beginning of a heading in config.py -> its sections
    "Data": {"1.1", "1.2"}, "Scales": {"1.3"}, "Standardisation": {"1.2"}, "Augmentation": {"1.2"}, "Networks": {"1.4"},
    "Head": {"1.5"}, "Step 1": {"1.5"}, "Step 2": {"1.5"}, "Without transfer": {"2.1"}, "Ensemble": {"1.6", "2.4"},
    "Classic features": {"2.5"}, "Methods of other papers": {"2.6"},
}  # fmt: skip


def list_sections(text: str) -> list[str]:
    return [number for first, others in CITED.findall(text) for number in (first, *re.findall(r"\d\.\d", others))]


def list_exhibits(text: str) -> list[str]:
    kinds = {"T": "Table", "F": "Fig."}
    return [f"{kinds[kind[0]]} {number}" for kind, *numbers in EXHIBITS.findall(text) for number in numbers if number]


@pytest.fixture(scope="module")
def lines(root) -> list[tuple[str, str]]:
    """(place, line) of the package, its tests and its notebook that cite a section."""
    files = [*(root / "replications" / "thyroid_ensemble").rglob("*"), root / "notebooks" / "thyroid_ensemble.ipynb"]
    files += [
        path for path in (root / "tests" / "papers" / "thyroid_ensemble").glob("*.py") if path.name != "test_thyroid_citations.py"
    ]
    texts = {path: path.read_text() for path in files if path.suffix in (".py", ".toml", ".md", ".ipynb")}
    found = [(f"{path.name}:{i}", line) for path, text in texts.items() for i, line in enumerate(text.splitlines(), 1)]
    return [(place, line) for place, line in found if list_sections(line)]


def test_every_cited_section_exists(lines):
    assert len(lines) > 40
    for place, line in lines:
        assert set(list_sections(line)) <= SECTIONS.keys(), (place, line)


def test_an_exhibit_is_cited_with_the_section_that_brings_it_in(lines):
    """Where a line names both, each exhibit stands in one of the sections; longer texts (tables of the README) name many."""
    checked = 0
    for place, line in lines:
        if (exhibits := list_exhibits(line)) and len(line) < 200:
            assert {HOMES[exhibit] for exhibit in exhibits} & set(list_sections(line)), (place, line)
            checked += 1
    assert checked > 15


def test_statements_and_checks_name_the_sections_of_their_exhibits(paper):
    for statement in paper.statements:
        sections = list_sections(statement.where)
        assert sections, statement.id
        assert {HOMES[exhibit] for exhibit in list_exhibits(statement.where)} <= set(sections), statement.id


def test_headings_of_the_settings_name_the_sections_of_their_subject(root):
    text = (root / "replications" / "thyroid_ensemble" / "config.py").read_text()
    comments = [line.strip("# ") for line in text.splitlines() if line.startswith("    # ") and list_sections(line)]
    headings = [comment for comment in comments if comment[0].isupper()]
    assert len(headings) >= len(SUBJECTS)
    for heading in headings:
        (expected,) = (sections for subject, sections in SUBJECTS.items() if heading.startswith(subject))
        assert set(list_sections(heading)) == expected, heading


def test_texts_of_modules_name_the_sections_of_their_subject(root):
    """What no exhibit on the same line pins."""
    package = root / "replications" / "thyroid_ensemble"
    expected = {
        "alexnet.py": {"1.4"}, "models.py": {"1.4", "1.5"}, "train.py": {"1.5"}, "ensemble.py": {"1.6", "2.4"},
        "rois.py": {"1.2"}, "baselines.py": {"2.5", "2.6"},
    }  # fmt: skip
    for name, sections in expected.items():
        first = (package / name).read_text().splitlines()[0]
        assert set(list_sections(first)) == sections, first
    for name in ("train.py", "models.py"):
        (line,) = (line for line in (package / name).read_text().splitlines() if '"""No transfer' in line)
        assert list_sections(line) == ["2.1"]
    assert 'where = "section 1.1"' in (package / "paper.toml").read_text()  # the sum of the images
