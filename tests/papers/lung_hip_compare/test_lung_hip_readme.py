"""The sentences of the package's README are true: their numbers follow from the accepted result."""

import re

import pandas as pd
import pytest

from common.evaluation.stopping import list_chosen
from common.records.paper import load_paper
from common.records.results import Results, RowResult, read_results
from common.report.wording import format_duration
from replications.lung_hip_compare import train
from replications.lung_hip_compare.config import NETWORKS, PRESETS


@pytest.fixture(scope="module")
def accepted(root) -> Results:
    return read_results(root / "results" / "lung_hip_compare" / "results.json")


@pytest.fixture(scope="module")
def prose(root) -> str:
    """What the README says of the comparison with the paper, on one line."""
    text = (root / "replications" / "lung_hip_compare" / "README.md").read_text(encoding="utf-8")
    section = re.search(r"## What matched, what did not, and why\n(.*?)\n## ", text, re.DOTALL)
    return " ".join(section[1].split())


@pytest.fixture(scope="module")
def costs(root) -> str:
    text = (root / "replications" / "lung_hip_compare" / "README.md").read_text(encoding="utf-8")
    return " ".join(re.search(r"## Cost\n(.*?)<!-- generated", text, re.DOTALL)[1].split())


def find(accepted: Results, network: str, protocol: str) -> RowResult:
    (row,) = (row for row in accepted.rows if (row.row, row.protocol) == (f"LUNA16 / {network}", protocol))
    return row


def drop(accepted: Results, network: str, metric: str) -> float:
    """By how much a metric is lower leak-free, as a fraction."""
    paper, leakfree = (find(accepted, network, protocol).metrics[metric].mean for protocol in ("paper", "leakfree"))
    return paper - leakfree


def sign(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def test_verdicts_and_differences(accepted, prose):
    judged = {claim.row: claim for claim in accepted.claims if claim.metric == "accuracy" and claim.ours is not None}
    for network in ("CNN", "ResNet-50", "DBN"):
        claim = judged[f"LUNA16 / {network}"]
        side = "higher" if claim.difference >= 0 else "lower"
        interval = f"(95 % interval of the difference {sign(claim.difference_low)} to {sign(claim.difference_high)})"
        mean = f"Our mean is {abs(claim.difference):.1f} points {side} {interval}"
        assert f"**{network} (5 seeds): {claim.verdict}.** {mean}" in prose
        seeds = [100 * value for value in find(accepted, network, "paper").metrics["accuracy"].by_seed]
        assert network == "DBN" or f"our seeds reach {min(seeds):.1f} to {max(seeds):.1f} %" in prose
    sgan = judged["LUNA16 / SGAN"]
    assert sgan.verdict == "differs, higher"
    interval = f"(95 % interval {sign(sgan.difference_low)} to {sign(sgan.difference_high)})"
    assert f"**SGAN (5 seeds): higher by {sgan.difference:.1f} points** {interval}" in prose


def test_the_main_finding_is_told_with_its_size(accepted, prose, root):
    of = {network: find(accepted, network, "paper").metrics for network in NETWORKS}
    means = {network: of[network]["accuracy"].mean for network in NETWORKS}
    assert max(means, key=means.get) == "ResNet-50"
    above = 100 * (means["ResNet-50"] - means["CNN"])
    seeds = [100 * value for value in of["CNN"]["accuracy"].by_seed]
    apart = max(seeds) - min(seeds)
    assert above < apart
    assert f"it is {above:.1f} points above the CNN, where the seeds of one network differ by {apart:.1f} points" in prose
    text = " ".join((root / "replications" / "lung_hip_compare" / "README.md").read_text(encoding="utf-8").split())
    assert f"but by {above:.1f} points, which is less than the seeds differ" in text
    areas = {network: f"{of[network]['auc'].mean:.3f}" for network in NETWORKS}
    assert sorted(areas, key=areas.get, reverse=True) == ["SGAN", "ResNet-50", "CNN", "DBN"]
    of = areas.get
    assert (
        f"the SGAN ({of('SGAN')}) is ahead of ResNet-50 ({of('ResNet-50')}), the CNN ({of('CNN')}) and the DBN ({of('DBN')})"
        in prose
    )


def test_early_stopping_of_resnet_is_told(accepted, prose, root):
    history = pd.read_csv(root / "results" / "lung_hip_compare" / "history.csv.gz")
    chosen = list_chosen(history)
    epochs = chosen.loc[chosen["row"] == "LUNA16 / ResNet-50", "epoch"]
    assert f"is lowest in epochs {epochs.min()} to {epochs.max()}" in prose
    of_resnet = history[(history["row"] == "LUNA16 / ResNet-50") & (history["protocol"] == "leakfree")]
    tenth = of_resnet[of_resnet["epoch"] <= 10].groupby("seed")["val_accuracy"].max()
    assert f"while their accuracy still rises to {100 * tenth.min():.0f} % and more in the first ten" in prose
    metrics = find(accepted, "ResNet-50", "leakfree").metrics
    assert metrics["accuracy"].mean < metrics["majority_rate"].mean
    assert f'Its {100 * metrics["accuracy"].mean:.1f} % is below always answering "non-nodule"' in prose
    assert f"The {100 * drop(accepted, 'ResNet-50', 'accuracy'):.1f} points hold this choice" in prose
    assert accepted.extra.hardly_trained == ["LUNA16 / ResNet-50", "LUNA16 / ResNet-50, held-out list"]
    leakfree = {check.id: check for check in accepted.extra.statements if check.protocol == "leakfree"}
    assert leakfree["resnet_best_everywhere"].verdict == "not run"
    assert leakfree["resnet_best_everywhere"].detail == "networks that it compares were stopped in their first epochs"


def test_every_seed_ends_with_a_training_accuracy_of_1(root, prose):
    history = pd.read_csv(root / "results" / "lung_hip_compare" / "history.csv.gz")
    cnn = history[(history["row"] == "LUNA16 / CNN") & (history["protocol"] == "paper")]
    last = cnn.sort_values("epoch").groupby("seed")["accuracy"].last()
    assert len(last) == 5
    assert (last == 1).all()
    assert "All our seeds reach a training accuracy of 100 %" in prose


def test_rates_and_leak(accepted, prose):
    cnn, dbn = (find(accepted, network, "paper").metrics for network in ("CNN", "DBN"))
    assert f"With {100 * cnn['majority_rate'].mean:.1f} % of the test patches negative" in prose
    accuracy, sensitivity = (100 * cnn[metric].mean for metric in ("accuracy", "sensitivity"))
    assert f"the CNN's {accuracy:.1f} % goes with a sensitivity of {sensitivity:.1f} %" in prose
    resnet, sgan = (find(accepted, network, "paper").metrics for network in ("ResNet-50", "SGAN"))
    found = [f"{100 * of['sensitivity'].mean:.1f} %" for of in (resnet, dbn, sgan)]
    assert f"ResNet-50 finds {found[0]}, the DBN {found[1]} and the SGAN {found[2]} of the nodules" in prose
    dataset, held_out = accepted.datasets
    assert held_out.splits["paper"].test == 1297
    paper, leakfree = dataset.splits["paper"], dataset.splits["leakfree"]
    assert f"{paper.leak.same_patient} of the paper's {paper.leak.test_cases} test patches share a block" in prose
    of = {(n, m): drop(accepted, n, m) for n in ("CNN", "DBN", "SGAN") for m in ("accuracy", "auc", "sensitivity")}
    assert (
        f"the CNN's accuracy is {100 * of['CNN', 'accuracy']:.1f} points lower, its AUC {of['CNN', 'auc']:.3f}, its sensitivity "
        f"{100 * of['CNN', 'sensitivity']:.1f} points; the DBN's {100 * of['DBN', 'accuracy']:.1f}, {of['DBN', 'auc']:.3f} and "
        f"{100 * of['DBN', 'sensitivity']:.1f}; the SGAN's {100 * of['SGAN', 'accuracy']:.1f}, {of['SGAN', 'auc']:.3f} and "
        f"{100 * of['SGAN', 'sensitivity']:.1f}."
    ) in prose
    majority = find(accepted, "CNN", "leakfree").metrics["majority_rate"].mean
    assert f"train on {leakfree.train} instead of {paper.train} patches" in prose
    assert f"tested on {leakfree.test} other patches, of which fewer are nodules (majority rate {100 * majority:.1f} %)" in prose


def test_the_held_out_list_and_few_labels(accepted, prose):
    def show(row: str, protocol: str = "paper") -> str:
        return f"{100 * find(accepted, row, protocol).metrics['accuracy'].mean:.1f}"

    held = {n: [show(f"{n}, held-out list", protocol) for protocol in ("paper", "leakfree")] for n in NETWORKS}
    whole, apart = ({network: numbers[place] for network, numbers in held.items()} for place in (0, 1))
    named = {"the CNN": "CNN", "ResNet-50": "ResNet-50", "the DBN": "DBN", "the SGAN": "SGAN"}
    assert f"it gives {', '.join(f'{name} {whole[network]} %' for name, network in named.items())}" in prose
    told = f"reach {apart['CNN']} (CNN), {apart['DBN']} (DBN) and {apart['SGAN']} % (SGAN)"
    assert f"the networks of the leak-free protocol {told}" in prose
    sensitivity = 100 * find(accepted, "SGAN, 10 % labels", "paper").metrics["sensitivity"].mean
    assert f"With 10 % of them ours reaches {show('SGAN, 10 % labels')} % and finds {sensitivity:.1f} % of the nodules" in prose
    assert f"the CNN on the same labels {show('CNN, 10 % labels')} %" in prose
    few = [show(f"CNN, {share} % labels") for share in (10, 25, 50)]
    assert f"the CNN reaches {few[0]}, {few[1]} and {few[2]} %" in prose
    metrics = find(accepted, "CNN, 10 % labels", "leakfree").metrics
    assert metrics["accuracy"].mean <= metrics["majority_rate"].mean


def test_costs_are_those_of_the_accepted_trainings(accepted, costs):
    trained = {training.key: training for training in accepted.extra.cells}
    assert {tuple(training.threads) for training in trained.values()} == {(1,)}
    assert "one thread for each training and two trainings side by side" in costs
    cnn, dbn = ([trained[f"luna16-{of}-paper-seed{seed}"].seconds / 60 for seed in range(5)] for of in ("cnn", "dbn"))
    assert f"CNN {min(cnn):.0f} to {max(cnn):.0f} minutes and DBN {min(dbn):.0f} to {max(dbn):.0f} in the accepted run" in costs
    hours = [float(re.search(rf"{network} ([0-9.]+) +hours", costs)[1]) for network in ("ResNet-50", "SGAN")]
    total = len(PRESETS["paper"].seeds) * sum(hours)
    assert f"Five seeds of ResNet-50 and SGAN alone are {total:.0f} hours of training" in costs
    machines = {key: training.elsewhere or "" for key, training in trained.items()}
    on_card = [key for key, machine in machines.items() if "H200" in machine]
    assert sorted({key.partition("-")[2].partition("-")[0] for key in on_card}) == ["resnet", "sgan"]
    minutes = {n: [trained[f"luna16-{n}-paper-seed{seed}"].seconds / 60 for seed in range(5)] for n in ("sgan", "resnet-50")}
    told = "five SGANs beside five ResNet-50 took {:.1f} to {:.1f} minutes each, the five ResNet-50 {:.0f} to {:.0f}"
    assert told.format(*(end(of) for of in minutes.values() for end in (min, max))) in costs


def test_the_table_of_papers_says_that_its_cost_is_of_a_part(accepted, root):
    (line,) = (
        line for line in (root / "README.md").read_text().splitlines() if "lung_hip_compare.run --data /path/to/data` |" in line
    )
    assert f"{format_duration(accepted.seconds)}, CPU and 1 x NVIDIA H200, for 12 of 31 rows |" in line


def test_every_accepted_row_is_run_as_published(accepted):
    assert not [row.row for row in accepted.rows if row.departures]
    assert accepted.overrides == {}


def test_the_main_number_is_the_paper_s_main_claim(root):
    """The abstract says that ResNet is best everywhere."""
    paper = load_paper(root / "replications" / "lung_hip_compare" / "paper.toml")
    assert paper.headline.statement == "resnet_best_everywhere"
    assert "ResNet-50" in paper.headline.row
    (line,) = (
        line for line in (root / "README.md").read_text().splitlines() if "lung_hip_compare.run --data /path/to/data` |" in line
    )
    assert "| ResNet-50 has the highest accuracy of the four networks on all five data sets; LUNA16 / ResNet-50" in line
    assert "| the claim: partly run; the number: agrees: not more than 5 points apart |" in line
    assert "1 more was stopped in the first epochs leak-free" not in line  # two were: on the test list and on the held-out one
    assert "2 more were stopped in the first epochs leak-free, which shows no leak" in line


def test_no_sentence_counts_correlated_patches(root):
    """An earlier text gave a number of alike patches that no code computes and that was not found again."""
    package = root / "replications" / "lung_hip_compare"
    for path in (package / "README.md", package / "paper.toml", root / "README.md", *(root / "docs").glob("*.md")):
        assert not re.search(r"22 of (the )?282|correlation of at least", path.read_text(encoding="utf-8")), path


# Sections of the paper, and what stands in them.
SECTIONS = {
    "1.1": "CNN", "1.2": "residual networks", "1.3": "DBN", "1.4": "SGAN",
    "2.1": "data", "2.2": "networks and training", "2.3": "environment and metrics", "3": "results",
}  # fmt: skip
CITED = re.compile(r"[Ss]ec(?:tion|tions|\.|t\.) ?(\d(?:\.\d)?(?:(?:, | and )\d(?:\.\d)?)*)")


def list_cited(text: str) -> list[str]:
    return [section for cited in CITED.findall(text) for section in re.split(", | and ", cited)]


def test_every_section_that_is_cited_exists(root):
    package = root / "replications" / "lung_hip_compare"
    files = [path for path in package.rglob("*") if path.suffix in (".py", ".toml", ".md")]
    cited = {section: path for path in files for section in list_cited(path.read_text(encoding="utf-8"))}
    assert not cited.keys() - SECTIONS.keys()
    assert {"2.1", "2.2", "3"} <= cited.keys()


@pytest.mark.parametrize(
    ("file", "sections"),
    [
        ("sources/hips.py", {"2.1"}), ("sources/luna16.py", {"2.1"}), ("sources/phantoms.py", {"2.1"}),
        ("train.py", {"1.3", "1.4", "2.2"}), ("models.py", {"2.2"}), ("dbn.py", {"1.3", "2.2"}), ("sgan.py", {"1.4", "2.2"}),
        ("paper.toml", {"2.1", "2.2", "3"}),
    ],
)  # fmt: skip
def test_sections_are_those_of_the_subject(root, file, sections):
    text = (root / "replications" / "lung_hip_compare" / file).read_text(encoding="utf-8")
    assert set(list_cited(text)) == sections


def test_each_training_cites_the_sections_of_its_network():
    cited = {name: list_cited(trainer.__doc__ or "") for name, trainer in train.TRAINERS.items()}
    assert cited == {"CNN": ["2.2"], "ResNet-50": ["2.2"], "DBN": ["1.3", "2.2"], "SGAN": ["1.4", "2.2"]}


def test_settings_of_data_are_in_2_1_and_those_of_networks_and_training_in_2_2(root):
    text = (root / "replications" / "lung_hip_compare" / "config.py").read_text(encoding="utf-8")
    body = text[text.index("class Config") : text.index("\nPAPER =")]
    data_part, training_part = body.split("# Training, all networks")
    training_part, split_part = training_part.split("# Splits")
    assert set(list_cited(data_part)) == {"2.1"}
    assert set(list_cited("# Training, all networks" + training_part)) == {"2.2"}
    assert list_cited("# Splits" + split_part) == ["2.1", "2.2"]  # of the split, and of the seeds of trainings
