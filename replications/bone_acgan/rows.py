"""The names of rows, data sets, trainings and files: what the tables and the plans call them."""

from collections.abc import Sequence

from replications.bone_acgan.config import BRANCHES, GANS, NETWORKS

PLAIN, MU = GANS
MULTI = "multi-scale CNN"  # sec. 3.3
RESNET34 = NETWORKS[0]
# Sec. 5.1.3: number -> the GAN that balances the classes ("" for none), and whether traditional augmentation enlarges it.
SETS = {1: ("", False), 2: (PLAIN, False), 3: (MU, False), 4: ("", True), 5: (MU, True)}
DIRECT = "training directly"  # Table 5: data set 1, no transfer
FINAL = f"{MULTI} / data set 5"  # Table 8
PER_PATIENT = "per patient"
SCANS, CHESTS = "scans", "chests"  # folders of the run that hold the prepared data sets
GENERATED, NETWORKS_FILE, SNAPSHOTS = "generated.npz", "gan.npz", "snapshots.npy"  # what the training of a GAN leaves
MEASURES, CURVES = "measures.json", "curves.npz"  # what its judgement leaves
SOURCE = "source"  # stands for the protocol in the history of the first stage
SHORT = ("health", "metastases", "benign")  # the classes in the names of metrics, and where room is short


def name_row(network: str, number: int, *, transfer: bool = True) -> str:
    """A network on a data set.

    >>> name_row(MULTI, 4), name_row(RESNET34, 5, transfer=False), name_row(RESNET34, 1, transfer=False)
    ('multi-scale CNN / data set 4', 'ResNet34 / data set 5, no transfer', 'ResNet34 / training directly')
    """
    if not transfer and number == 1:
        return f"{network} / {DIRECT}"
    return f"{network} / data set {number}" + ", no transfer" * (not transfer)


def name_patients(row: str) -> str:
    """The row's mean of both views of each patient."""
    return f"{row} / {PER_PATIENT}"


def name_gan(gan: str, *, transfer: bool = True) -> str:
    """A GAN with or without the first stage of the transfer.

    >>> name_gan(MU), name_gan(MU, transfer=False)
    ('MU-ACGAN', 'MU-ACGAN, no transfer')
    """
    return gan + ", no transfer" * (not transfer)


def list_branches(network: str) -> Sequence[str]:
    """The backbones that a classifier is made of.

    >>> list_branches(MULTI), list_branches(RESNET34)
    (('DenseNet121', 'VGG16', 'ResNeXt50'), ('ResNet34',))
    """
    return BRANCHES if network == MULTI else (network,)


# Classifiers of Tables 4 to 8: network, data set, transfer.
CLASSIFIERS = (
    *((RESNET34, number, True) for number in SETS),
    (RESNET34, 5, False),
    (RESNET34, 1, False),
    *((network, 4, True) for network in (*BRANCHES, MULTI, *NETWORKS[1 + len(BRANCHES) :])),
    (MULTI, 5, True),
)
