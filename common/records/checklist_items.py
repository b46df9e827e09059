"""The items of two reporting checklists for studies of networks on medical images, each in our own few words.

CLAIM, 2024 update: Tejani AS, Klontzas ME, Gatti AA, et al., Radiology: Artificial Intelligence 2024;6(4):e240300. TRIPOD+AI:
Collins GS, Moons KGM, Dhiman P, et al., BMJ 2024;385:e078378. The lists themselves stand there, with explanations.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item; `number` as in the list ("7", "5a"), `asks` what a reader should find, paraphrased."""

    number: str
    part: str
    topic: str
    asks: str


@dataclass(frozen=True)
class Guideline:
    """A checklist in one version."""

    id: str  # name of its entries in checklist.toml
    title: str
    reference: str
    doi: str
    items: tuple[Item, ...]


def _list_items(*parts: tuple[str, tuple[tuple[str, str, str], ...]]) -> tuple[Item, ...]:
    return tuple(Item(number, part, topic, asks) for part, items in parts for number, topic, asks in items)


CLAIM = Guideline(
    id="claim",
    title="CLAIM 2024",
    reference="Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for Artificial Intelligence in Medical Imaging (CLAIM): "
    "2024 update. Radiology: Artificial Intelligence 2024;6(4):e240300",
    doi="10.1148/ryai.240300",
    items=_list_items(
        ("Title and abstract", (
            ("1", "title", "the study is seen to be one of AI, and of which kind"),
            ("2", "abstract", "design, methods, results and conclusions in short"),
        )),
        ("Introduction", (
            ("3", "background", "the scientific or clinical problem, and what the AI is to be used for"),
            ("4", "aims", "aims, objectives, hypotheses"),
        )),
        ("Methods: design", (
            ("5", "prospective or retrospective", "whether the data were collected for the study or before it"),
            ("6", "goal of the study", "what is built or tested: a new model, a comparison, a trial of feasibility"),
        )),
        ("Methods: data", (
            ("7", "data sources", "where the images come from, and how they fit the use in mind"),
            ("8", "inclusion and exclusion", "which patients and images were taken, which left out"),
            ("9", "preprocessing", "from the raw image to the input of the network"),
            ("10", "data subsets", "which part of an image or collection is used, and how it was chosen"),
            ("11", "de-identification", "how names and the like were removed"),
            ("12", "missing data", "what was done with missing or unusable images and labels"),
            ("13", "image acquisition", "devices and settings by which the images were made"),
        )),
        ("Methods: reference standard", (
            ("14", "definition of the reference standard", "what makes a case positive, and how that was found out"),
            ("15", "rationale of the reference standard", "why this one"),
            ("16", "source of the annotations", "who annotated, with which qualification"),
            ("17", "annotation of the test set", "by whom and how the test cases were labelled"),
            ("18", "rater variability", "how far raters agree with each other and themselves"),
        )),
        ("Methods: partitions and test data", (
            ("19", "assignment to partitions", "how cases came into training, tuning and test sets, in which shares"),
            ("20", "level of disjointness", "whether partitions are disjoint by image, patient or institution"),
            ("21", "intended sample size", "how large the test set was to be, and why"),
        )),
        ("Methods: model", (
            ("22", "description of the model", "inputs, outputs, layers, so that it can be built again"),
            ("23", "software", "libraries and frameworks with their versions"),
            ("24", "initial parameters", "random or pre-trained, and from where"),
        )),
        ("Methods: training", (
            ("25", "training", "augmentation, optimiser, rates, batches, epochs, loss"),
            ("26", "choice of the final model", "by what, and on which cases"),
            ("27", "ensembling", "how several models are combined"),
        )),
        ("Methods: evaluation", (
            ("28", "metrics", "the measures of performance, defined"),
            ("29", "statistical uncertainty", "intervals, tests, how they were computed"),
            ("30", "robustness", "other settings, inputs, or repetitions"),
            ("31", "explainability", "heat maps and the like, and their validation"),
            ("32", "internal test", "how it was tested on data of the same source"),
            ("33", "external test", "how it was tested on data of another source"),
            ("34", "trial registration", "the number in a register, for a clinical trial"),
        )),
        ("Results", (
            ("35", "cases included and excluded", "numbers of patients or examinations at each step"),
            ("36", "characteristics of the cases", "demographic and clinical, for each partition"),
            ("37", "performance", "the metrics, with their uncertainty, on each test set"),
            ("38", "diagnostic performance and precision", "sensitivity, specificity and the like, with intervals"),
            ("39", "failures", "which cases go wrong, and why"),
        )),
        ("Discussion", (
            ("40", "limitations", "bias, uncertainty, what cannot be generalised"),
            ("41", "implications for practice", "the use and the clinical role of the result"),
        )),
        ("Other information", (
            ("42", "protocol or technical details", "where the full protocol, or more of the technique, can be read"),
            ("43", "availability", "of software, trained model and data"),
            ("44", "funding", "sources of support, and the funders' role"),
        )),
    ),
)  # fmt: skip

TRIPOD_AI = Guideline(
    id="tripod",
    title="TRIPOD+AI",
    reference="Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for reporting clinical prediction "
    "models that use regression or machine learning methods. BMJ 2024;385:e078378",
    doi="10.1136/bmj-2023-078378",
    items=_list_items(
        ("Title and abstract", (
            ("1", "title", "a prediction model developed or evaluated, for whom, for which outcome"),
            ("2", "abstract", "what the list for abstracts asks: objective, data, model, performance, conclusion"),
        )),
        ("Introduction", (
            ("3a", "context and rationale", "the diagnostic question, why a model, which models exist"),
            ("3b", "population and use", "for which patients, at which point of care, for which users"),
            ("3c", "health inequalities", "known ones between groups of people"),
            ("4", "objectives", "whether a model is developed, evaluated, or both"),
        )),
        ("Methods: data and participants", (
            ("5a", "data sources", "of development and evaluation data, why these, whom they represent"),
            ("5b", "dates", "when the data were collected"),
            ("6a", "setting", "kind, number and place of the centres"),
            ("6b", "eligibility", "who was included and who was not"),
            ("6c", "treatments", "those received, where they matter"),
            ("7", "data preparation", "preprocessing and quality checks, alike for all groups"),
        )),
        ("Methods: outcome, predictors, size", (
            ("8a", "outcome", "what is predicted, how and when it was assessed, and why this"),
            ("8b", "assessors of the outcome", "their qualification, where judgement enters"),
            ("8c", "blinding of the outcome", "what kept its assessors from knowing the predictors"),
            ("9a", "choice of predictors", "why these inputs"),
            ("9b", "definition of predictors", "what enters the model, and how it was measured"),
            ("9c", "assessors of predictors", "their qualification, where judgement enters"),
            ("10", "sample size", "how it came about, and whether it suffices"),
            ("11", "missing data", "what was done about them, why data were left out"),
        )),
        ("Methods: analysis", (
            ("12a", "use of the data", "how they were divided between development and evaluation"),
            ("12b", "handling of predictors", "scaling, transformation, standardisation"),
            ("12c", "model building", "type and rationale, all steps, tuning, internal validation"),
            ("12d", "heterogeneity", "whether and how differences between clusters such as hospitals were handled"),
            ("12e", "performance measures", "metrics and plots, and why these"),
            ("12f", "model updating", "recalibration after the evaluation"),
            ("12g", "computing predictions", "how the predictions of the evaluation were made"),
            ("13", "class imbalance", "what was done about it, and about the calibration afterwards"),
            ("14", "fairness", "what was done for it, and why"),
            ("15", "model output", "probability or class, and where thresholds come from"),
            ("16", "training against evaluation data", "differences in setting, eligibility, outcome, predictors"),
            ("17", "ethics", "the committee's approval; consent or its waiver"),
        )),
        ("Open science", (
            ("18a", "funding", "sources, and the funders' role"),
            ("18b", "conflicts of interest", "declared for all authors"),
            ("18c", "protocol", "where it is, or that there is none"),
            ("18d", "registration", "register and number, or that there is none"),
            ("18e", "data sharing", "whether and where the data can be had"),
            ("18f", "code sharing", "whether and where the code can be had"),
            ("19", "patients and public", "their part in the study, or that they had none"),
        )),
        ("Results", (
            ("20a", "flow of participants", "how many came in, with and without the outcome"),
            ("20b", "characteristics", "of the participants, overall and by source"),
            ("20c", "comparison with the development data", "of the evaluation data's predictors and outcome"),
            ("21", "numbers in each analysis", "participants and outcome events in development, tuning, evaluation"),
            ("22", "model specification", "what is needed to predict for new people: code, weights, formula"),
            ("23a", "performance", "with confidence intervals, and for subgroups"),
            ("23b", "heterogeneity found", "of performance between clusters, where it was examined"),
            ("24", "updated model", "and its performance"),
        )),
        ("Discussion", (
            ("25", "interpretation", "of the main results, fairness included, beside earlier studies"),
            ("26", "limitations", "and what they do to bias, uncertainty, generalisation"),
            ("27a", "poor input", "what to do with bad or missing input in use"),
            ("27b", "users", "whether they must take part, and with which expertise"),
            ("27c", "next steps", "for research, applicability and generalisation"),
        )),
    ),
)  # fmt: skip

GUIDELINES = (CLAIM, TRIPOD_AI)
