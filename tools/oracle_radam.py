"""Make tests/common/training/golden/radam.json anew: steps of TensorFlow Addons' RectifiedAdam on a quadratic.

TensorFlow Addons ended in 2024 and cannot be imported beside Keras 3, so it needs an environment of its own:

    python3.11 -m venv /tmp/addons && /tmp/addons/bin/pip install tensorflow==2.15.* tensorflow-addons==0.23.*
    /tmp/addons/bin/python tools/oracle_radam.py tests/common/training/golden/radam.json

Matrix and start are read from the file, so that the same points must come out.
"""

import json
import sys
from pathlib import Path


def main(path: Path) -> None:
    import numpy as np
    import tensorflow as tf
    import tensorflow_addons as tfa

    golden = json.loads(path.read_text())
    matrix, rate = np.array(golden["matrix"], np.float32), golden["learning_rate"]
    kinds = {"threshold 5": {}, "threshold 4": {"sma_threshold": 4.0}, "weight decay 0.01": {"weight_decay": 0.01}}
    for name, options in kinds.items():
        optimizer = tfa.optimizers.RectifiedAdam(rate, **options)
        point, points = tf.Variable(np.array(golden["start"], np.float32)), []
        for step in range(1, max(golden["steps"]) + 1):
            gradient = tf.linalg.matvec(matrix, point)  # of half the quadratic form
            optimizer.apply_gradients([(gradient, point)])
            if step in golden["steps"]:
                points.append([float(f"{value:.9g}") for value in point.numpy()])
        golden["points"][name] = points
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
