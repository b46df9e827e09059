"""The trainings behind the tables and figures, and their cells: GANs in two stages, their judgement, classifiers.

Nothing here imports TensorFlow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.files import hash_file, slug
from common.records.results import Split
from common.records.rows import Row, explain_rows
from common.runs.cells import Cell
from common.training.weights import WeightFile
from replications.bone_acgan.config import GANS, Config
from replications.bone_acgan.rows import CLASSIFIERS, MU, SETS, list_branches, name_gan, name_row
from replications.bone_acgan.weights import Files

MODULE = "replications.bone_acgan"


@dataclass(frozen=True)
class Classifier:
    """A network on a data set."""

    network: str
    number: int
    transfer: bool

    @property
    def row(self) -> str:
        return name_row(self.network, self.number, transfer=self.transfer)

    @property
    def gan(self) -> str:
        """The GAN that it needs; "" for none."""
        return SETS[self.number][0]


@dataclass(frozen=True)
class Gan:
    """A GAN with or without the first stage."""

    gan: str
    transfer: bool

    @property
    def row(self) -> str:
        return name_gan(self.gan, transfer=self.transfer)


def list_classifiers() -> list[Classifier]:
    """Of Tables 4 to 8; neighbours share a network, so that graphs are traced once."""
    found = [Classifier(*entry) for entry in CLASSIFIERS]
    order = list(dict.fromkeys(one.network for one in found))
    return sorted(found, key=lambda one: order.index(one.network))


def list_gans() -> list[Gan]:
    """Of Table 3 and Figs. 8 and 9."""
    return [*(Gan(gan, transfer=True) for gan in GANS), Gan(MU, transfer=False)]


def reduce_config(config: Config) -> dict:
    """The settings that a training depends on: not how many trainings there are."""
    return asdict(replace(config, seeds=()))


def plan_source(gan: str, config: Config, chests_sha256: str) -> Cell:
    """Stage 1 of a GAN: once for all folds and seeds."""
    settings = {
        "chests_sha256": chests_sha256,
        "config": reduce_config(config),
        "gan": gan,
        "row": name_gan(gan),
        "seed": config.split_seed,
    }
    return Cell(slug(f"stage 1 {gan}"), f"{MODULE}.gan_training:train_source_cell", settings, gan)


def find_product(cell: Cell, name: str, folder: Path) -> WeightFile:
    """A file that a finished cell left in the run folder."""
    file = f"cells/{cell.key}/{name}"
    return WeightFile(file, hash_file(folder / file))


def list_places(config: Config, protocols: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int, int]]:
    """(protocol, fold, seed) of every training."""
    folds = {"paper": [-1], "leakfree": list(range(config.leakfree_folds))}
    return [(protocol, fold, seed) for seed in seeds for protocol in protocols for fold in folds[protocol]]


def describe_place(place: tuple[str, int, int]) -> str:
    protocol, fold, seed = place
    return f"{protocol} seed{seed}" + (f" fold{fold}" if fold >= 0 else "")


def plan_gan(
    gan: Gan, place: tuple[str, int, int], config: Config, data_sha256: str, splits: Mapping[str, Split], start: WeightFile | None
) -> Cell:
    """Stage 2 of a GAN, or its direct training; start: what stage 1 left."""
    protocol, fold, seed = place
    settings = {
        "config": reduce_config(config),
        "data_sha256": data_sha256,
        "fold": fold,
        "gan": gan.gan,
        "protocol": protocol,
        "row": gan.row,
        "seed": seed,
        "source": start and start.file,
        "source_sha256": start and start.sha256,
        "split_sha256": splits[protocol].sha256,
    }
    return Cell(slug(f"gan {gan.row} {describe_place(place)}"), f"{MODULE}.gan_training:train_gan_cell", settings, gan.gan)


def plan_judgement(cell: Cell, made: WeightFile, features: WeightFile | None) -> Cell:
    """The judgement of a finished GAN."""
    settings = {name: value for name, value in cell.settings.items() if name not in ("source", "source_sha256")}
    settings |= {"generated": made.file, "generated_sha256": made.sha256}
    settings |= {"features": features and features.file, "features_sha256": features and features.sha256}
    return Cell(cell.key.replace("gan-", "judged-", 1), f"{MODULE}.judging:judge_cell", settings)


def plan_classifier(
    one: Classifier,
    place: tuple[str, int, int],
    config: Config,
    data_sha256: str,
    splits: Mapping[str, Split],
    weights: Files,
    made: Mapping[tuple[str, tuple[str, int, int]], WeightFile],
) -> Cell | None:
    """A classifier; None where the pictures of its GAN are missing. made: (GAN, place) -> its pictures."""
    protocol, fold, seed = place
    pictures = made.get((one.gan, place))
    if one.gan and pictures is None:
        return None
    branches = list_branches(one.network) if one.transfer else ()
    settings = {
        "config": reduce_config(config),
        "data_sha256": data_sha256,
        "fold": fold,
        "generated": pictures and pictures.file,
        "generated_sha256": pictures and pictures.sha256,
        "network": one.network,
        "number": one.number,
        "protocol": protocol,
        "row": one.row,
        "seed": seed,
        "split_sha256": splits[protocol].sha256,
        "weights": {branch: [weights[branch].file, weights[branch].sha256] for branch in branches if branch in weights},
    }
    return Cell(slug(f"{one.row} {describe_place(place)}"), f"{MODULE}.train:train_cell", settings, one.network)


def explain_failures(
    wanted: Sequence[Row],
    missing: Mapping[str, str],
    failed: Mapping[str, str],
    planned: Sequence[Cell],
    lacking_data: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Row -> why it could not be run: a training that failed, weights of a branch that are not there, or data of its own.

    missing: branch -> reason; failed: key of a cell -> reason; lacking_data: row -> reason.
    """
    broken = dict(lacking_data or {})
    broken |= {str(cell.settings["row"]): f"failed: {failed[cell.key]}" for cell in planned if cell.key in failed}
    for one in list_classifiers():
        lacking = [missing[branch] for branch in list_branches(one.network) if branch in missing]
        if one.transfer and lacking:
            broken[one.row] = lacking[0]
        elif one.gan and name_gan(one.gan) in broken:
            broken.setdefault(one.row, f"its pictures: {broken[name_gan(one.gan)]}")
    return explain_rows(wanted, broken)
