"""What the paper says of its GANs in words, checked on made-up histories and judgements."""

import numpy as np
import pandas as pd
import pytest

from replications.bone_acgan.config import CLASSES, DEMO, PAPER, SMOKE
from replications.bone_acgan.gan_claims import DIRECT, TRANSFERRED, build_gan_checks
from replications.bone_acgan.measures import Judged
from replications.bone_acgan.rows import MU, PLAIN, SETS, name_gan

ACCURACY = {TRANSFERRED: 0.5, DIRECT: 0.5, name_gan(PLAIN): 0.5}  # rows that may be judged


def judge(row: str, ssim: tuple[float, ...], protocol: str = "paper") -> Judged:
    classes = {name: {"ssim": {"generated": value}} for name, value in zip(CLASSES, ssim, strict=True)}
    return Judged(row, protocol, 0, -1, {"classes": classes}, {})


def write_history(row: str, right: np.ndarray) -> pd.DataFrame:
    """A training whose discriminator is right so often, 0.1 more on real and 0.1 less on generated pictures."""
    about = {"row": row, "protocol": "paper", "seed": 0, "fold": -1}
    return pd.DataFrame({"epoch": np.arange(1, len(right) + 1), "real_found": right + 0.1, "fake_found": right - 0.1}).assign(
        **about
    )


@pytest.mark.parametrize(
    ("ours", "verdict"), [((0.5, 0.6, 0.6), "holds"), ((0.5, 0.6, 0.4), "does not hold"), ((0.5, 0.6, 0.5), "does not hold")]
)
def test_ssim_must_be_higher_in_every_class(ours, verdict):
    found = [judge(name_gan(MU), ours), judge(name_gan(PLAIN), (0.4, 0.5, 0.5)), judge(name_gan(PLAIN), (0.9,) * 3, "leakfree")]
    check = build_gan_checks(found, pd.DataFrame())["ssim_higher"]
    said, detail = check("paper", ACCURACY)
    assert (said, detail.split(";")[0]) == (verdict, "health: 0.5000 and 0.4000")
    assert check("leakfree", ACCURACY)[0] == check("paper", {})[0] == "not run"


def test_figure_8_is_judged_by_the_discriminators_accuracy():
    """As the paper draws it: 80 % at epoch 500 alone, above 90 % from epoch 150 on with the first stage."""
    slow, quick = np.linspace(0.5, 0.8, 500), np.minimum(0.92, np.linspace(0.5, 2.0, 500))
    checks = build_gan_checks([], pd.concat([write_history(DIRECT, slow), write_history(TRANSFERRED, quick)]))
    assert checks["gan_accuracy_at_150"]("paper", ACCURACY) == ("holds", "92.0 % at epoch 150, mean of 1")
    assert checks["gan_accuracy_higher"]("paper", ACCURACY)[0] == "holds"
    verdict, detail = checks["gan_faster"]("paper", ACCURACY)
    assert verdict == "holds"
    assert detail.endswith("first stage: 121 and 500")  # where the mean of 50 epochs reaches 0.785


def test_a_first_stage_that_does_not_help_is_said_not_to():
    slow, never = np.linspace(0.5, 0.8, 500), np.full(500, 0.7)
    checks = build_gan_checks([], pd.concat([write_history(DIRECT, slow), write_history(TRANSFERRED, never)]))
    told = {name: check("paper", ACCURACY) for name, check in checks.items()}
    assert [told[name][0] for name in ("gan_accuracy_at_150", "gan_accuracy_higher", "gan_faster")] == ["does not hold"] * 3
    assert told["gan_faster"][1].endswith("first stage: never and 500")


def test_short_trainings_are_not_judged_at_epoch_150():
    checks = build_gan_checks([], write_history(TRANSFERRED, np.full(20, 0.95)))
    assert checks["gan_accuracy_at_150"]("paper", ACCURACY) == ("not run", "no training with the first stage of 150 epochs")
    assert checks["gan_faster"]("paper", ACCURACY)[0] == "not run"


def test_the_readme_says_how_long_epochs_and_trials_are(root):
    text = " ".join((root / "replications" / "bone_acgan" / "README.md").read_text(encoding="utf-8").split())
    images = [130, 101, 43]  # Table 1, training
    assert SETS[4] == ("", True)
    assert SETS[5] == (MU, True)
    whole = PAPER.enlargement * max(images) * len(images) / sum(images)
    assert f"as {PAPER.enlargement} epochs of data set 1" in text
    assert (
        f"{PAPER.enlargement} times {max(images) * len(images)}, every class filled up to {max(images)}) as {whole:.0f}." in text
    )
    assert f"`gan_steps`): {DEMO.gan_steps} in the demo, {SMOKE.gan_steps} in `smoke`" in text
