"""The suite without TensorFlow: Keras on JAX, as on a GPU machine that has JAX alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("script", "said"), [("on_jax.py", "trained on jax\n"), ("chained_on_jax.py", "chained on jax\n")])
def test_networks_train_and_resume_on_jax_where_tensorflow_is_missing(script, said, root, tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed: pip install -e '.[jax]'")
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(root)}
    here = Path(__file__).parent
    command = [sys.executable, "-W", "error::UserWarning", str(here / "no_tensorflow.py"), str(here / script), str(tmp_path)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, said), done.stderr[-3000:]
