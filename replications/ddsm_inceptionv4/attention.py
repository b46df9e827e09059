"""Where a kept network looks: Grad-CAM of test pictures, and on phantoms the share of it inside lesions."""

from pathlib import Path

import numpy as np

from common.runs import cells
from common.runs.products import describe_training
from common.training import fit
from common.training.gradcam import grad_cam
from common.training.stored import open_network
from replications.ddsm_inceptionv4.models import choose_side, find_map
from replications.ddsm_inceptionv4.stages import MAPS
from replications.ddsm_inceptionv4.tasks import open_task
from replications.ddsm_inceptionv4.variants import resize_pictures

PACKAGE = Path(__file__).parent


def map_cell(settings: dict, folder: Path, threads: int, report: cells.Report) -> dict:
    """Grad-CAM for a lesion of some cases: cams.npy, float32 (cases, side, side) in [0, 1].

    settings: those of a training, kept (the key of the cell that has its network) and cases (positions).
    """
    environment = fit.start_backend(threads)
    task = open_task(settings, folder, report)
    network = open_network(folder.parent / settings["kept"] / "model.keras")
    side = choose_side(settings["network"], task.config)
    pictures = resize_pictures(task.pictures[np.asarray(settings["cases"], int)], side)[..., None].astype(np.float32)
    np.save(folder / MAPS, grad_cam(network, pictures, find_map(network), class_index=1), allow_pickle=False)
    return describe_training(PACKAGE, environment)
