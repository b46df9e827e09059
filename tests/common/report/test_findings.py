"""The lines of the tables and the finding in words, computed from the numbers; numbers and tables as text."""

from dataclasses import replace

import pytest
from sample_report import PAPER, make_content, make_metric, make_results, make_row

from common.audit.papers import describe_scope, find_contradicting_claims, find_impossible_claims
from common.evaluation.outcome import HARDLY_TRAINED
from common.records.paper import load_paper
from common.records.results import parse_results
from common.report.background import build_leak_table, build_split_table
from common.report.findings import describe_finding, list_banners
from common.report.lines import collect_lines
from common.report.screen import format_screen_table
from common.report.tables import build_comparison_tables, build_metric_tables
from common.report.wording import choose_tone, explain_verdict, format_duration, format_interval, format_value


def test_lines_join_claims_and_rows(paper):
    net, old, absent, labels = collect_lines(make_results(), paper)
    assert (net.paper, net.tolerance, net.ours) == (0.9, pytest.approx(0.061), 0.912)
    assert (net.gap, net.gap_low, net.gap_high) == pytest.approx((0.012, -0.029, 0.053))
    assert net.difference == pytest.approx(-0.062)
    assert (net.n, net.seeds, net.leakfree_seeds) == (100, 2, 2)
    assert (net.paper_majority, net.majority, net.leakfree_majority) == (0.8, 0.8, 0.86)
    assert net.note == "leak-free at or below the majority rate"
    assert old.leakfree is None
    assert old.note.split("; ") == [
        "about 220 test patients would tell if the difference stayed the same (here 50)",
        "impossible as printed",
        "paper at or below the majority rate",
        "ours at or below the majority rate",
        "the paper's protocol: one class for all cases (seed 0, 1)",
    ]
    assert (absent.verdict, absent.note, absent.reason) == (
        "not run",
        "printed as a dash",
        "too large; see README",
    )
    assert (absent.paper_majority, absent.majority, absent.leakfree_majority) == (0.8, None, None)
    assert (labels.claimed, labels.paper, labels.ours, labels.metric) == (False, None, 0.75, "accuracy")
    assert collect_lines(make_results(), paper, "labels") == [labels]


def test_finding_is_computed_from_the_numbers(paper):
    sentences = describe_finding(make_results(), paper)
    assert sentences[0].endswith("Leak-free: 85.0\u00a0% (95 % interval 82.0 to 88.0, 2 seeds).")
    assert "agrees within 5 points (ours minus the paper's: +1.2 points, 95 % interval −2.9 to +5.3)." in sentences[0]
    assert sentences[1] == "Of 2 printed ratios: 1 agrees within 5 points; 1 cannot tell."
    assert "Rows run with the paper's settings under both protocols: 1 of the paper's, 0 of ours." in sentences[2]
    assert "−6.2 points" in sentences[2]
    assert sentences[-1] == "Impossible as printed: Table 2: set / old net."


def test_a_headline_that_does_not_tell_says_what_would(paper):
    content = make_content()
    (claim,) = [claim for claim in content["claims"] if claim["row"] == "set / net"]
    claim |= {
        "verdict": "cannot tell",
        "note": "about 340 test patients would tell if the difference stayed the same (here 60)",
        "patients_needed": 340,
    }
    sentence = describe_finding(parse_results(content, "test"), paper)[0]
    gap = "ours minus the paper's: +1.2 points, 95 % interval −2.9 to +5.3"
    assert f"cannot tell ({gap}; about 340 test patients would tell if the difference stayed the same (here 60); " in sentence


@pytest.mark.parametrize(("word", "said"), [("other data", "on other data"), ("off protocol", "with other settings")])
def test_a_headline_without_a_verdict_says_why(paper, word, said):
    content = make_content()
    (claim,) = [claim for claim in content["claims"] if claim["row"] == "set / net"]
    claim |= {"verdict": word, "difference": None, "difference_low": None, "difference_high": None}
    results = parse_results(content, "test")
    assert f"Not run as published; {said} we get 91.2\N{NO-BREAK SPACE}%" in describe_finding(results, paper)[0]


def name_statement(paper):
    """The paper, its first statement being its headline."""
    return replace(paper, headline=replace(paper.headline, statement=paper.statements[0].id))


def test_a_headline_in_words_is_said_first_whether_or_not_it_was_run(paper):
    named, statement = name_statement(paper), paper.statements[0]
    checks = [check for check in make_results().extra.statements if check.id == statement.id]
    sentence = describe_finding(make_results(), named)[0]
    assert sentence.startswith(f"The paper's main claim: {statement.text} ({statement.where}). Here: ")
    assert checks
    assert all(check.verdict in sentence for check in checks)
    content = make_content()
    of_paper, leakfree = (
        {"id": statement.id, "protocol": protocol, "verdict": "holds", "detail": "by 2 points"}
        for protocol in ("paper", "leakfree")
    )
    content["extra"]["statements"] = [of_paper, leakfree]
    here = describe_finding(parse_results(content, "test"), named)[0].partition(" Here: ")[2]
    assert here == "under the paper's protocol holds, leak-free holds (by 2 points)."
    leakfree |= {"verdict": "not run", "detail": HARDLY_TRAINED}
    here = describe_finding(parse_results(content, "test"), named)[0].partition(" Here: ")[2]
    assert here == f"under the paper's protocol holds (by 2 points), leak-free not judged ({HARDLY_TRAINED})."
    content["extra"]["statements"] = []
    assert describe_finding(parse_results(content, "test"), named)[0].endswith("Here: not run.")
    assert describe_finding(make_results(), paper) == describe_finding(make_results(), named)[1:]


def test_a_printed_ratio_counts_once_under_all_its_readings(tmp_path):
    """Sensitivity under two readings: two lines each, one printed number each."""
    readings = [
        f'[[reading]]\nid = "{name}"\ntext = "{name}"\nmetrics = {{ sensitivity = "{ours}" }}\nclasses = "test"\n'
        for name, ours in (("a", "sensitivity"), ("b", "specificity"))
    ]
    printed = [
        f'[[claim]]\ntable = "3"\nrow = "{row}"\nmetric = "sensitivity"\nvalue = 80.0\ndigits = 1\nunit = "percent"\n'
        'where = "Table 3"\nclasses = "test"\n'
        for row in ("set / net", "set / old net")
    ]
    (tmp_path / "paper.toml").write_text("\n".join([PAPER, *readings, *printed]))
    read_twice = load_paper(tmp_path / "paper.toml")
    content = make_content()
    (of_net,) = [claim for claim in content["claims"] if claim["row"] == "set / net"]
    content["claims"] += [
        {**of_net, "table": table, "row": row, "metric": metric, "verdict": verdict}
        for table, row, metric, verdict in (
            ("3", "set / net", "sensitivity", "cannot tell"),
            ("3, reading b", "set / net", "specificity", "cannot tell"),
            ("3", "set / old net", "sensitivity", "differs, lower"),
            ("3, reading b", "set / old net", "specificity", "agrees within 5 points"),
        )
    ]
    assert describe_finding(parse_results(content, "test"), read_twice)[1] == (
        "Of 4 printed ratios: 1 agrees within 5 points; 2 cannot tell; 1 depends on the reading."
    )


def test_records_of_the_former_words_are_still_shown(paper):
    content = make_content()
    for claim in content["claims"]:
        for name in ("difference", "difference_low", "difference_high", "margin", "patients_needed"):
            claim.pop(name, None)
        claim["verdict"] = {"agrees within 5 points": "within", "cannot tell": "unclear"}.get(claim["verdict"], claim["verdict"])
    sentences = describe_finding(parse_results(content, "test"), paper)
    assert sentences[0].split(" Leak-free")[0].endswith(": within.")
    assert sentences[1] == "Of 2 printed ratios: 1 within; 1 unclear."


def test_a_text_without_numbers_has_nothing_to_count(paper):
    unread = replace(paper, claims=tuple(replace(claim, value=None) for claim in paper.claims))
    assert "The available text prints no ratio to compare with." in describe_finding(make_results(), unread)


def test_other_data_are_named_above_everything(paper):
    content = make_content(on_protocol=False)
    content["datasets"][0]["substitute"] = True
    assert list_banners(parse_results(content, "test")) == ["Other data than the paper's: hospital. No verdict rests on them."]


def test_every_verdict_has_plain_words_and_a_tone():
    verdicts = ["agrees within 5 points", "equal", "differs, lower", "differs, higher", "cannot tell", "phantoms", "not run"]
    assert [choose_tone(verdict) for verdict in verdicts] == ["good", "good", "lower", "higher", "open", "open", "open"]
    assert [explain_verdict(verdict) for verdict in ("off protocol", "other data")] == [
        "not comparable: other settings than the paper's",
        "not comparable: other data than the paper's",
    ]


def test_a_row_of_ours_alone_says_that_it_is_off_protocol(paper):
    """It has no claim that could be judged; its departures say it, and it does not count as run as published."""
    content = make_content()
    content["rows"].append(make_row("labels", "set / net, 10 % labels", "leakfree", 0.6))
    for row in content["rows"][-2:]:
        row["departures"] = ["epochs = 6 instead of 100", "width = 8 instead of 64", "c", "d"]
    off = parse_results(content, "test")
    *_, line = collect_lines(off, paper)
    assert (line.row, line.verdict, line.claimed) == ("set / net, 10 % labels", "off protocol", False)
    assert line.note.startswith("other settings: epochs = 6 instead of 100; width = 8 instead of 64; c; and 1 more;")
    assert "under both protocols: 1 of the paper's, 0 of ours." in describe_finding(off, paper)[2]
    for row in content["rows"][-2:]:
        row["departures"] = []
    assert "under both protocols: 1 of the paper's, 1 of ours." in describe_finding(parse_results(content, "test"), paper)[2]


def test_rows_of_the_paper_and_ours_are_told_apart_each_once(paper):
    """Of the paper's rows a mean, of ours, which are of many kinds, from where to where; changed settings in neither, though
    other data take the place of the verdict; a row of two tables counts once."""
    content = make_content()
    content["datasets"][0]["substitute"] = True
    content["rows"] += [
        make_row("labels", f"ours {gap}", protocol, 0.95 - gap * (protocol == "leakfree"))
        for gap in (0.02, 0.08)
        for protocol in ("paper", "leakfree")
    ]
    content["rows"] += [{**row, "table": "3"} for row in content["rows"] if row["row"] == "ours 0.08"]
    content["rows"].append(make_row("2", "set / old net", "leakfree", 0.1) | {"departures": ["epochs = 6 instead of 100"]})
    for claim in content["claims"]:
        claim["verdict"] = "other data"
    (said,) = (text for text in describe_finding(parse_results(content, "test"), paper) if text.startswith("Rows run"))
    assert said == (
        "Rows run with the paper's settings under both protocols: 1 of the paper's, 2 of ours. In the paper's rows the leak-free "
        "accuracy minus that of the paper's protocol is −6.2 points on average, from −6.2 to −6.2. In rows of ours the leak-free "
        "accuracy minus that of the paper's protocol is from −8.0 to −2.0 points. Test and training cases differ as well, so "
        "this is not the leak alone."
    )


def test_what_else_differs_stands_wherever_the_difference_does(paper):
    """In the sentence, under the tables and on the screen."""
    beside = "Leak-free minus the paper's protocol is not the leak alone: five networks are averaged"
    results, told = make_results(), replace(paper, difference=beside)
    (said,) = (text for text in describe_finding(results, told) if text.startswith("Rows run"))
    assert said.endswith(f"{beside}.")
    assert any(table.note == f"{beside}." for table in build_comparison_tables(results, told))
    assert f"{beside}." in " ".join(format_screen_table(results, told).split())
    assert f"{beside}." not in " ".join(format_screen_table(results, paper).split())


def test_counts_and_verbs_agree(paper):
    content = make_content()
    for claim in content["claims"]:
        claim["verdict"] = "agrees within 5 points" if claim["row"] != "set / absent net" else "not run"
    assert "Of 2 printed ratios: 2 agree within 5 points." in describe_finding(parse_results(content, "test"), paper)


def test_numbers_that_only_contradict_their_row_are_not_called_impossible(tmp_path):
    """Accuracy 90 lies outside of sensitivity 95 and specificity 96, though a count gives each of them."""
    rows = [
        f'[[claim]]\ntable = "3"\nrow = "torn"\nmetric = "{metric}"\nvalue = {value}\ndigits = 2\nunit = "percent"\n'
        'where = "Table 3"\nclasses = "test"\nfolds = 1\nruns = 1\n'
        for metric, value in (("accuracy", "90.00"), ("sensitivity", "95.00"), ("specificity", "96.25"))
    ]
    (tmp_path / "paper.toml").write_text("\n".join([PAPER, *rows]))
    torn = load_paper(tmp_path / "paper.toml")
    found = find_impossible_claims(torn)
    assert {key for key in found if key[1] == "torn"} == find_contradicting_claims(torn) != set()
    content = make_content()
    (of_net,) = [claim for claim in content["claims"] if claim["row"] == "set / net"]
    content["claims"] += [
        {**of_net, "table": "3", "row": "torn", "metric": metric, "impossible": ("3", "torn", metric) in found}
        for metric in ("accuracy", "sensitivity", "specificity")
    ]
    results = parse_results(content, "test")
    notes = {line.note.split("; ")[0] for line in collect_lines(results, torn, "3") if line.key in found}
    assert notes == {"contradicts its row"}
    assert describe_finding(results, torn)[-2:] == [
        "Impossible as printed: Table 2: set / old net.",
        "Printed numbers that contradict each other: Table 3: torn.",
    ]
    assert "impossible as printed: 1; in contradiction to others of their row: 3" in describe_scope(torn)


def test_rows_that_only_give_the_most_frequent_class_tell_no_leak(paper):
    def tell(*majorities: float) -> str:
        rows = [
            make_row("labels", f"row {i}", protocol, mean, majority_rate=make_metric(majority))
            for i, majority in enumerate(majorities)
            for protocol, mean in (("paper", 0.7), ("leakfree", 0.6))
        ]
        sentences = describe_finding(parse_results(make_content() | {"rows": rows}, "test"), paper)
        return next(sentence for sentence in sentences if sentence.startswith("Rows run with the paper's settings under both"))

    assert "2 of ours. In rows of ours the leak-free accuracy minus that of the paper's protocol is from −10.0" in tell(0.5, 0.5)
    assert "1 of them is left out here: no better than always giving the most frequent class under both" in tell(0.5, 0.7)
    assert "In rows of ours the leak-free accuracy minus" in tell(0.5, 0.7)
    assert "2 of ours. None tells what a leak is worth" in tell(0.7, 0.7)
    assert "points" not in tell(0.7, 0.7)


def test_of_many_rows_that_are_no_better_the_first_are_named(paper):
    def tell(count: int) -> str:
        rows = [make_row("labels", f"row {i}", "paper", 0.5, majority_rate=make_metric(0.5)) for i in range(count)]
        results = parse_results(make_content(rows=rows), "test")
        (said,) = (text for text in describe_finding(results, paper) if text.startswith("Here, under the paper's protocol: no"))
        return said.partition("class: ")[2]

    assert tell(5) == "row 0; row 1; row 2; row 3; row 4."
    assert tell(6) == "row 0; row 1; row 2; row 3; and 2 more (see the notes)."


@pytest.mark.parametrize("why", ["", ": No such file or directory"])
def test_a_weight_file_that_is_not_here_is_named_without_its_folder(paper, why):
    content = make_content(rows=[])
    content["extra"]["not_run"] = [{"table": "2", "row": "set / net", "reason": f"/path/to/net.h5: not here{why}; get it"}]
    told = describe_finding(parse_results(content, "test"), paper)
    assert any(text.endswith("Not run under its own protocol: net.h5: not here.") for text in told)


def test_a_run_without_the_headline_says_why(paper):
    content = make_content(rows=[], claims=[])
    content["extra"]["not_run"] = [{"table": "2", "row": "set / net", "reason": "no data"}]
    assert "Not run under its own protocol: no data." in describe_finding(parse_results(content, "test"), paper)[0]


def test_leaks_of_both_protocols_stand_side_by_side(paper):
    content = make_content()
    splits = content["datasets"][0]["splits"]
    clean = {"test_cases": 1200, "same_patient": 0, "same_pixels": 0, "near_duplicate": 0}
    content["datasets"][0]["splits"] = {"leakfree": {**splits["paper"], "rule": "by patient", "leak": clean}, **splits}
    content["datasets"].append({**content["datasets"][0], "dataset": "other", "splits": {"leakfree": splits["paper"]}})
    results = parse_results(content, "test")
    assert build_leak_table(results).rows == [
        ["set", "100", "77 (77.0 %)", "0", "5 (5.0 %)", "1,200", "0", "0", "0"],
        ["other", "–", "–", "–", "–", "100", "77 (77.0 %)", "0", "5 (5.0 %)"],
    ]
    assert [row[:3] for row in build_split_table(results).rows] == [
        ["set", "the paper's protocol", "at random"],
        ["set", "leak-free", "by patient"],
        ["other", "leak-free", "at random"],
    ]


def test_numbers_have_fixed_digits():
    assert format_value(0.9, "percent") == "90.0"
    assert format_value(0.91234, "fraction", 3) == "0.912"
    assert format_value(-0.012, "percent", signed=True) == "−1.2"
    assert format_value(1622.0, "count") == "1622"
    assert format_value(None, "percent") == "–"
    assert format_interval(0.1, None, "percent") == "–"
    assert [format_duration(seconds) for seconds in (12, 600, 7500)] == ["12 s", "10 min", "2 h 05 min"]


def test_departures_without_an_override_are_said_in_every_table(paper):
    """Random initial weights, leak-free only: no verdict shows it, so banner and notes do."""
    content = make_content(on_protocol=False)
    content["rows"] = [
        row | {"departures": ["random initial weights"]} for row in content["rows"] if row["protocol"] == "leakfree"
    ]
    content["claims"] = []
    results = parse_results(content, "test")
    assert list_banners(results) == [
        "Other settings than the paper's: some rows were trained otherwise than published (see their notes)."
    ]
    (net,) = [line for line in collect_lines(results, paper) if line.leakfree is not None]
    assert "other settings: random initial weights" in net.note


def test_a_changed_setting_does_not_hide_the_preset():
    banners = list_banners(make_results(preset="smoke", overrides={"epochs": "1"}, on_protocol=False))
    assert banners == [
        "Other settings than the paper's: preset smoke (tiny networks, to see that everything works).",
        "Other settings than the paper's, given on the command line: epochs = 1.",
    ]


def test_what_was_found_in_phantoms_follows_what_they_are(paper):
    content = make_content()
    content["datasets"][0]["synthetic"] = True
    content["extra"]["finding"] = "Found of the leak: 80 %."
    first, second = describe_finding(parse_results(content, "test"), paper)
    assert first.startswith("Synthetic data: these numbers say nothing about the paper.")
    assert second == "Found of the leak: 80 %."
    content["extra"]["finding"] = ""
    assert describe_finding(parse_results(content, "test"), paper) == [first]


def test_seeds_that_gave_the_same_are_said_to_be_one_fit(paper):
    """In the sentence of the headline, in its table and in that of all metrics."""
    content = make_content()
    for row in content["rows"]:
        for metric in row["metrics"].values():
            metric["sd"] = 1e-17 if row["protocol"] == "leakfree" else 0.01
    results = parse_results(content, "test")
    (sentence, *_) = describe_finding(results, paper)
    assert "2 seeds): agrees" in sentence
    assert sentence.endswith("(95 % interval 82.0 to 88.0, 2 seeds, one deterministic fit).")
    tables = build_metric_tables(results)
    shown = {(table.title, row[0]): row[3] for table in tables for row in table.rows if row[0] == "set / net"}
    assert shown == {
        ("All metrics, the paper's protocol", "set / net"): "2",
        ("All metrics, leak-free", "set / net"): "2, one deterministic fit",
    }


def test_leaks_of_own_data_are_said_once_with_the_names_of_their_sets(paper):
    content = make_content()
    first = content["datasets"][0] | {"own": True}
    other = {**first["splits"]["paper"], "leak": {**first["splits"]["paper"]["leak"], "same_patient": 50}}
    third = {**first, "dataset": "crop", "splits": {"paper": other}}
    content["datasets"] = [first, {**first, "dataset": "small"}, third]
    said = [text for text in describe_finding(parse_results(content, "test"), paper) if text.startswith("Split as in the paper")]
    about = "test cases have a picture of the same patient in training, and 5 one that looks nearly the same"
    assert said == [
        f"Split as in the paper, 77 of 100 {about} (each of set, small): trust the leak-free numbers.",
        f"Split as in the paper, 50 of 100 {about} (crop): trust the leak-free numbers.",
    ]


def test_rows_that_early_stopping_decided_are_named_behind_the_main_number(paper):
    content = make_content()
    content["extra"]["hardly_trained"] = ["set / net"]
    sentences = describe_finding(parse_results(content, "test"), paper)
    (place,) = (i for i, text in enumerate(sentences) if text.startswith("Leak-free, early stopping chose one of the first"))
    assert "first epochs: set / net. The numbers are those of hardly trained networks" in sentences[place]
    assert place > 0
