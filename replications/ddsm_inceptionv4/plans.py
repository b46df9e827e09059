"""The trainings behind the tables and figures, and their cells. Nothing here imports TensorFlow."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from common.files import hash_file, slug
from common.records.results import Split
from common.records.rows import Row, explain_rows
from common.runs.cells import Cell
from common.training.weights import WeightFile
from replications.ddsm_inceptionv4.config import Config
from replications.ddsm_inceptionv4.rows import (
    INCEPTION,
    JUDGEMENT,
    MOBILE,
    SAMPLERS,
    SAMPLES,
    SCRATCH,
    Model,
    list_models,
    list_starts,
    name_few,
    name_metadata,
)
from replications.ddsm_inceptionv4.weights import Files

MODULE = "replications.ddsm_inceptionv4"
Place = tuple[str, int, int]  # protocol, fold, seed


def reduce_config(config: Config) -> dict:
    """The settings that a training depends on: not how many trainings there are."""
    return asdict(replace(config, seeds=(), label_levels=()))


def list_places(config: Config, protocols: Sequence[str], seeds: Sequence[int]) -> list[Place]:
    """(protocol, fold, seed) of every training."""
    folds = [-1] if config.folds == 1 else list(range(config.folds))
    return [(protocol, fold, seed) for seed in seeds for protocol in protocols for fold in folds]


def describe_place(place: Place) -> str:
    protocol, fold, seed = place
    return f"{protocol} seed{seed}" + (f" fold{fold}" if fold >= 0 else "")


def plan_source(network: str, config: Config) -> Cell:
    """Initial weights of a network for trial runs."""
    return Cell(
        slug(f"source {network}"), f"{MODULE}.train:train_source_cell", {"config": reduce_config(config), "network": network}
    )


def find_source(cell: Cell, folder: Path) -> WeightFile:
    """The weights that a finished `plan_source` left in the run folder."""
    return find_product(cell, "backbone.weights.h5", folder)


def find_product(cell: Cell, name: str, folder: Path) -> WeightFile:
    """A file that a finished cell left in the run folder."""
    file = f"cells/{cell.key}/{name}"
    return WeightFile(file, hash_file(folder / file))


class Planner:
    """What all cells of a run share, and the cells that follow."""

    def __init__(self, config: Config, data_sha256: str, splits: Mapping[str, Split], files: Files):
        self.config, self.data_sha256, self.splits, self.files = config, data_sha256, splits, files

    def describe(self, row: str, place: Place, level: str) -> dict:
        """The settings that every cell on the data has."""
        protocol, fold, seed = place
        return {
            "config": reduce_config(self.config),
            "data_sha256": self.data_sha256,
            "fold": fold,
            "level": level,
            "protocol": protocol,
            "row": row,
            "seed": seed,
            "split_sha256": self.splits[protocol].sha256,
            "weights": None,
        }

    def point_weights(self, network: str) -> list[str] | None:
        """[file, sha256] of the initial weights; None: random."""
        file = self.files.get(network)
        return [file.file, file.sha256] if file else None

    def plan_model(self, model: Model, place: Place) -> Cell:
        """One training of a row. Its trained layers are kept where the seed is the first of the settings."""
        settings = self.describe(model.row, place, model.level)
        settings |= {"network": model.network, "start": model.start, "keep": place[2] == min(self.config.seeds)}
        settings["weights"] = self.point_weights(model.network) if model.transfer else None
        key = slug(f"{model.row.replace('*', ' last block')} {describe_place(place)}")
        return Cell(key, f"{MODULE}.train:train_cell", settings, f"{model.network} {model.start}")

    def plan_metadata(self, level: str, place: Place) -> Cell:
        """The classifier that sees no picture."""
        row = name_metadata(level)
        settings = self.describe(row, place, level)
        return Cell(slug(f"{row} {describe_place(place)}"), f"{MODULE}.shortcuts:train_metadata_cell", settings)

    def plan_planted(self, place: Place, whole_sha256: str) -> Cell:
        """The table of planted scanners; whole_sha256: of the whole films, which it is measured on."""
        settings = self.describe("planted scanners", place, "image") | {"whole_sha256": whole_sha256}
        return Cell(slug(f"planted scanners {describe_place(place)}"), f"{MODULE}.shortcuts:plant_cell", settings)

    def plan_costs(self) -> Cell:
        """Seconds of a step."""
        return Cell("costs", f"{MODULE}.costs:measure_costs_cell", {"config": reduce_config(self.config)})

    def plan_sampler(self, sampler: str, place: Place) -> Cell:
        """A model of unlabelled pictures (sec. 4.1)."""
        settings = self.describe(sampler, place, "image")
        return Cell(slug(f"{sampler} {describe_place(place)}"), f"{MODULE}.sampling:train_sampler_cell", settings, sampler)

    def plan_judgement(self, made: Mapping[str, Cell], place: Place, network: str, folder: Path) -> Cell:
        """All samplers of a place judged by a discriminator that rests on `network`."""
        settings = self.describe(JUDGEMENT, place, "image")
        settings["weights"] = self.point_weights(network)
        settings["network"] = network
        settings["samples"] = {}
        for sampler, cell in made.items():
            drawn = find_product(cell, SAMPLES, folder)
            settings["samples"][sampler] = [drawn.file, drawn.sha256]
        return Cell(slug(f"judgement {describe_place(place)}"), f"{MODULE}.judging:judge_cell", settings)

    def plan_kept(self, cell: Cell) -> Cell:
        """The whole network of a finished training, for new pictures."""
        settings = {**cell.settings, "trained": cell.key, "digest": cell.digest}
        return Cell(f"network-{cell.key}", f"{MODULE}.train:keep_network_cell", settings, cell.kin)

    def plan_attention(self, cell: Cell, kept: Cell, cases: Sequence[int]) -> Cell:
        """Grad-CAM of a kept network; cell: its training."""
        settings = {**cell.settings, "kept": kept.key, "digest": kept.digest, "cases": list(cases)}
        return Cell(f"attention-{cell.key}", f"{MODULE}.attention:map_cell", settings, cell.kin)


def list_wanted(models: Sequence[Model], needed: set[str]) -> list[Model]:
    """The models whose training a row needs."""
    return [model for model in models if model.row in needed]


def list_layerwise(config: Config) -> set[str]:
    """Rows of the layer-wise curve that Table 2 lacks: trained leak-free alone."""
    named = set(list_starts(config)[:2])
    return {model.row for model in list_models(config) if model.network == INCEPTION and model.start not in {*named, SCRATCH}}


def list_networks(models: Sequence[Model], planned_part: bool) -> list[str]:
    """Networks whose initial weights are needed: by rows with transfer, and by the deep discriminator."""
    judging = (INCEPTION, MOBILE) if planned_part else ()
    return list(dict.fromkeys([*(model.network for model in models if model.transfer), *judging]))


def choose_judge(missing: Mapping[str, str]) -> str | None:
    """The network of the deep discriminator: InceptionV4 where its weights are there, else MobileNetV2; None without either."""
    return next((network for network in (INCEPTION, MOBILE) if network not in missing), None)


def explain_failures(
    wanted: Sequence[Row], models: Sequence[Model], missing: Mapping[str, str], failed: Mapping[str, str], planned: Sequence[Cell]
) -> dict[str, str]:
    """Row -> why it could not be run: a training that failed, or initial weights that are not there.

    missing: network -> reason; failed: key of a cell -> reason.
    """
    broken = {model.row: missing[model.network] for model in models if model.transfer and model.network in missing}
    broken |= {str(cell.settings["row"]): f"failed: {failed[cell.key]}" for cell in planned if cell.key in failed}
    judged = next((reason for name in (JUDGEMENT, *SAMPLERS) if (reason := broken.get(name))), None)
    if judged is None and INCEPTION in missing and MOBILE in missing:
        judged = missing[INCEPTION]
    if judged:
        broken |= {row.name: judged for row in wanted if row.name.startswith(name_few(""))}
    return explain_rows(wanted, broken)
