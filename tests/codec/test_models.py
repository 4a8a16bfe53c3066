"""Real digits through a VAE and through the chain of a diffusion model: back bit for bit, and as large as the bound."""

import jax
import numpy as np
import pytest

from jaxgen import codec, data, ddpm, vae
from jaxgen.core import Spec
from jaxgen.data import space
from jaxgen.ddpm.objective import path_negative_bound

pytest.importorskip("constriction")
VAE = vae.Config(latent_dim=3, hidden=(16,), likelihood=vae.DiscretizedNormal(sigma=0.7))
DDPM = ddpm.Config(network=ddpm.MLP((16,), time_features=8), schedule=ddpm.Cosine(5))


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def there_and_back(path, model, digits, num, **options):
    """Bits per image of the file, and whether all images came back."""
    variables = model.init(jax.random.key(0), digits.train.batches(seed=0, batch_size=64)(0)).variables
    latents, x = model.parts.latents(**options), digits.test.x[:num]
    found = codec.compress(path, x, latents, variables, digits.spec, batch_size=32)
    read, out = codec.Read(path), np.zeros(x.shape, np.uint8)
    codec.decompress(read, out, latents, variables)
    np.testing.assert_array_equal(out, x)
    return variables, x, found.net_bits_per_dim * found.num_dimensions


def test_a_vae(tmp_path, digits):
    model = vae.model(VAE, digits.spec)
    variables, x, bits = there_and_back(tmp_path / "file", model, digits, 200)
    bound = float(np.mean(model.evaluate(jax.random.key(1), variables, {"x": x})["negative_elbo"]) / np.log(2))
    assert bits == pytest.approx(bound, rel=0.01)


@pytest.mark.parametrize("steps", [pytest.param(5, marks=pytest.mark.slow), 30])
def test_the_chain_of_a_diffusion_model_and_a_shorter_one(tmp_path, digits, steps):
    model = ddpm.model(ddpm.Config(network=DDPM.network, schedule=ddpm.Cosine(steps)), digits.spec)
    variables, x, bits = there_and_back(tmp_path / "file", model, digits, 100, num_levels=5)
    steps = ddpm.schedule.uniform_timesteps(model.parts.schedule.num_timesteps, 5)
    schedule, times = ddpm.schedule.respaced(model.parts.schedule, steps), np.array([0, *steps[::-1]], np.int32)

    def denoise(x_t, t):
        return model.parts.denoise(variables, x_t, jax.numpy.asarray(times)[t])

    bound = jax.jit(
        lambda key: path_negative_bound(key, denoise, schedule, space.to_model(x, digits.spec), levels=17, clip=1.0)
    )
    expected = np.stack([bound(jax.random.key(k)) for k in range(3)]) / np.log(2)
    assert bits == pytest.approx(expected.mean(), rel=0.015)


def test_binary_images(tmp_path):
    x = (np.random.default_rng(0).random((80, 4, 4, 1)) < 0.3).astype(np.uint8)
    binary = data.from_arrays(x, test=data.Split(x[:20]), levels=2)
    model = vae.model(vae.Config(latent_dim=2, hidden=(8,)), binary.spec)
    there_and_back(tmp_path / "file", model, binary, 20)


def test_bins_are_a_fraction_of_the_smallest_deviation(digits):
    latents = ddpm.model(DDPM, digits.spec).parts.latents()
    schedule = DDPM.schedule.schedule()
    assert len(latents.widths) == 5 and latents.shape == digits.spec.event_shape
    upwards, downwards = np.sqrt(schedule.beta[1:]), np.sqrt(ddpm.process.posterior_variance(schedule)[2:])
    for i, width in enumerate(latents.widths):
        smallest = min(upwards[i], downwards[i]) if i < 4 else upwards[i]
        assert smallest / 8 < width <= smallest / 4 and np.log2(width) == round(np.log2(width))


@pytest.mark.parametrize(
    ("make", "spec", "num_levels", "message"),
    [
        (lambda spec: vae.model(vae.Config(), spec), 17, None, "must have 2 levels .* got levels=17"),
        (lambda spec: vae.model(vae.Config(likelihood=vae.Normal()), spec), 17, None, "must be DiscretizedNormal"),
        (lambda spec: vae.model(VAE, spec), 17, 2, r"num_levels must be an integer in 1..1, for a VAE, got 2"),
        (lambda spec: ddpm.model(DDPM, spec), 17, 6, r"num_levels must be an integer in 1..5, the number of timesteps"),
        (lambda spec: ddpm.model(DDPM, spec), None, None, r"data must have grey levels for a codec"),
    ],
)
def test_what_a_codec_cannot_use_is_refused(make, spec, num_levels, message):
    spec = Spec((8, 8, 1)) if spec is None else Spec((8, 8, 1), "uint8", levels=spec)
    with pytest.raises(ValueError, match=message):
        make(spec).parts.latents(num_levels)


def test_conditions_are_withheld_or_refused():
    spec = Spec((8, 8, 1), "uint8", levels=17, num_classes=10)
    of_label = ddpm.Config(network=DDPM.network, schedule=ddpm.Cosine(3), conditional=True)
    assert len(ddpm.model(of_label, spec).parts.latents().widths) == 3
    always = ddpm.Config(network=DDPM.network, conditional=True, label_dropout=0.0)
    with pytest.raises(ValueError, match=r'condition must hold "label".* never gone without it'):
        ddpm.model(always, spec).parts.latents()
