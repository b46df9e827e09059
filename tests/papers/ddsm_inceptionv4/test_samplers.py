"""The planned models: the lower bound against its closed form, roles, every update changes its own network, resume, devices."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest
from ddsm_samples import SMALL
from keras import ops

from common.errors import UsageError
from common.training import fit
from common.training.batches import feed_batches
from replications.ddsm_inceptionv4 import samplers, sampling
from replications.ddsm_inceptionv4.rows import DCGAN, SAMPLERS, VAE, VAE_GAN
from replications.ddsm_inceptionv4.sampler_networks import build_decoder, build_discriminator, build_encoder

pytestmark = pytest.mark.usefixtures("backend")  # started with one thread before anything is computed
TINY = replace(SMALL, sample_size=16, sample_channels=(4, 8), latent=3, sample_batch=8)


def test_the_lower_bound_equals_its_closed_form_on_a_linear_decoder():
    """Decoder W z + b with Gaussian pixels: E_q[log p(x|z)] has a closed form, and so has the divergence."""
    random = np.random.default_rng(0)
    pixels, latent, variance = 6, 2, 0.3
    weights, offset = random.normal(size=(latent, pixels)), random.normal(size=pixels)
    x, mean, log_variance = random.normal(size=pixels), random.normal(size=latent), random.normal(size=latent) * 0.5
    residual = x - mean @ weights - offset
    spread = np.trace(weights.T @ np.diag(np.exp(log_variance)) @ weights)
    likelihood = -0.5 * pixels * math.log(2 * math.pi * variance) - (residual @ residual + spread) / (2 * variance)
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum()
    draws = 200_000
    noise = np.random.default_rng(1).standard_normal((draws, latent)).astype(np.float32)
    repeated = [ops.convert_to_tensor(np.repeat(of[None], draws, axis=0).astype(np.float32)) for of in (x, mean, log_variance)]
    decode = lambda z: ops.matmul(z, weights.astype(np.float32)) + offset.astype(np.float32)  # noqa: E731
    bounds = np.asarray(samplers.measure_elbo(*repeated, decode, ops.convert_to_tensor(noise), variance))
    assert bounds.mean() == pytest.approx(likelihood - divergence, abs=4 * float(bounds.std()) / math.sqrt(draws))
    assert float(samplers.measure_divergence(repeated[1], repeated[2])[0]) == pytest.approx(divergence, rel=1e-5)


def test_the_best_bound_of_a_linear_model_is_its_evidence():
    """With the true posterior the bound is log p(x) itself (probabilistic PCA)."""
    random = np.random.default_rng(2)
    pixels, variance = 5, 0.4
    weights = random.normal(size=(1, pixels))
    x = random.normal(size=pixels)
    precision = 1 + (weights @ weights.T).item() / variance
    mean, spread = (weights @ x / variance / precision), 1 / precision
    covariance = weights.T @ weights + variance * np.eye(pixels)
    squares = x @ np.linalg.solve(covariance, x)
    evidence = -0.5 * (pixels * math.log(2 * math.pi) + np.linalg.slogdet(covariance)[1] + squares)
    noise = np.random.default_rng(3).standard_normal((50_000, 1)).astype(np.float32)
    of = [np.repeat(v[None], len(noise), axis=0).astype(np.float32) for v in (x, mean, np.log([spread]))]
    decode = lambda z: ops.matmul(z, weights.astype(np.float32))  # noqa: E731
    bounds = np.asarray(samplers.measure_elbo(*map(ops.convert_to_tensor, of), decode, ops.convert_to_tensor(noise), variance))
    assert bounds.mean() == pytest.approx(evidence, abs=0.02)


def test_the_generator_has_the_transposed_convolutions():
    """The paper has the roles exchanged."""
    kinds = {network.name: {type(layer).__name__ for layer in network.layers} for network in
             (build_encoder(TINY), build_decoder(TINY), build_discriminator(TINY))}  # fmt: skip
    assert "Conv2DTranspose" in kinds["decoder"]
    assert "Conv2DTranspose" not in kinds["discriminator"]
    assert "Conv2D" in kinds["discriminator"]
    assert build_decoder(TINY).output_shape == (None, 16, 16, 1)
    with pytest.raises(UsageError, match="cannot be halved 2 times"):
        build_decoder(replace(TINY, sample_size=18))


def pictures(count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 1), np.uint8)


def snapshot(network: keras.Model) -> list[np.ndarray]:
    return [np.array(weight) for weight in network.trainable_variables]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_update_changes_its_own_network_alone(name):
    keras.utils.set_random_seed(0)
    model = samplers.build_sampler(name, TINY, 0, jit_compile=False)
    for network, optimizer, lose in model.list_updates(ops.convert_to_tensor(pictures())):
        own = {id(variable) for variable in network.trainable_variables}
        before = {id(of): snapshot(of) for of in model.networks}
        samplers.turns.apply_update(network, optimizer, lose)
        for other in model.networks:
            moved = any(not np.array_equal(a, b) for a, b in zip(before[id(other)], snapshot(other), strict=True))
            assert moved == any(id(variable) in own for variable in other.trainable_variables), other.name


@pytest.mark.parametrize("name", SAMPLERS)
def test_trainings_learn_something_and_repeat(name):
    histories = []
    for _ in range(2):
        model = sampling.build(name, TINY, 0)
        logs = model.fit(feed_batches((pictures(32),), 8), epochs=6, shuffle=False, verbose=0).history
        histories.append(logs)
        drawn = sampling.draw_samples(model, 5, seed=0)
        assert drawn.shape == (5, 16, 16)
        assert np.ptp(drawn) > 0
    assert histories[0] == histories[1]
    if name == VAE:
        assert histories[0]["elbo"][-1] > histories[0]["elbo"][0]
    if name != DCGAN:
        assert sampling.reconstruct(model, pictures(3)[..., 0]).shape == (3, 16, 16)


def test_a_resumed_training_ends_in_the_same_weights(tmp_path):
    """Stopped after three of six epochs: noise, both moments and statistics go on where they were."""
    states = []
    for stops in ((6,), (3, 6)):
        folder = tmp_path / str(len(stops))
        folder.mkdir()
        for epochs in stops:
            model = sampling.build(VAE_GAN, TINY, 0)
            about = {"stage": "sampler", "epochs": epochs, "batch_size": 8, "folder": folder, "report": lambda *_: None}
            fit.fit(model, lambda epoch: (pictures(16),), checkpoint_seconds=0, **about)
        states.append(fit.read_state(model))
    assert all(np.array_equal(a, b) for a, b in zip(*states, strict=True))


def test_reparameterised_draws_have_the_asked_moments():
    noise = ops.convert_to_tensor(np.random.default_rng(0).standard_normal((100_000, 1)).astype(np.float32))
    drawn = np.asarray(samplers.reparameterise(ops.full((1, 1), 2.0), ops.full((1, 1), math.log(9.0)), noise))
    assert (drawn.mean(), drawn.std()) == (pytest.approx(2, abs=0.05), pytest.approx(3, abs=0.05))
