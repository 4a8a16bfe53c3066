"""Diffusion models on real values in physical units: densities and samples in these units, and what is cut off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import ddpm
from jaxgen.core import Spec
from jaxgen.data import Arcsinh, Standardise, ToRange, from_arrays, space
from jaxgen.train import fit

TINY = ddpm.Config(schedule=ddpm.Linear(8), network=ddpm.MLP((16,)), ema_decay=0.0)


def fluxes(num=64, shape=(4, 4, 1), seed=0):
    return np.random.default_rng(seed).exponential(500, (num, *shape)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [Standardise(300.0, 40.0), Arcsinh(30.0, 1.0, 0.5)], ids=lambda s: type(s).__name__)
def test_densities_are_of_the_data_in_their_own_units(scale, key):
    spec = Spec((4, 4, 1), scale=scale)
    model, plain = (ddpm.model(TINY, of) for of in (spec, Spec((4, 4, 1))))
    x = fluxes(6)
    u = np.asarray(space.to_model(x, spec))
    volume = np.asarray(space.log_volume(x, spec))
    assert np.abs(volume).min() > 10
    state = model.init(key, {"x": x})
    found, of_u = model.evaluate(key, state.variables, {"x": x}), plain.evaluate(key, state.variables, {"x": u})
    for term, shift in (("negative_bound", volume), ("reconstruction", volume), ("denoising", 0), ("prior", 0)):
        np.testing.assert_allclose(found[term], of_u[term] - shift, rtol=1e-4, atol=1e-3)
    found, of_u = model.parts.bound(key, state.variables, {"x": x}), plain.parts.bound(key, state.variables, {"x": u})
    np.testing.assert_allclose(found.per_t[0], of_u.per_t[0] - volume, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(found.per_t[1:], of_u.per_t[1:])
    both = [m.parts.log_likelihood(key, state.variables, {"x": v}) for m, v in ((model, x), (plain, u))]
    np.testing.assert_allclose(both[0], both[1] + volume, rtol=1e-4, atol=1e-3)
    assert model.parts.measure == "density of the data in their own units" and plain.parts.measure == "density"
    # Samples are the scaled ones brought back.
    np.testing.assert_allclose(
        model.sample(key, state.variables, 3), scale.inverse(plain.sample(key, state.variables, 3)), rtol=1e-3, atol=0.1
    )


@pytest.mark.parametrize(
    "scale",
    [Standardise(), pytest.param(ToRange(), marks=pytest.mark.slow), Arcsinh()],
    ids=lambda s: type(s).__name__,
)
def test_what_is_handed_out_is_in_the_units_of_the_data(scale, key):
    dataset = from_arrays(fluxes(), scale=scale)
    model = ddpm.model(TINY, dataset.spec)
    state, history = fit(model, dataset.train.batches(0, 16), key, 3, progress=False)
    assert 0 < history.records[-1]["loss"] < 20  # per dimension, on the scale
    x = dataset.test.x
    assert np.asarray(model.sample(key, state.variables, 20)).std() > 50
    mask = np.arange(x.size).reshape(x.shape) % 2 == 0
    imputed = np.asarray(model.parts.impute(key, state.variables, {"x": x, "mask": mask}))
    np.testing.assert_array_equal(imputed[mask], x[mask])
    np.testing.assert_allclose(
        model.parts.diffuse(key, jnp.asarray(x), 1),
        scale_back(dataset.spec, ddpm.process.diffuse(model.parts.schedule, space.to_model(x, dataset.spec), 1,
                                                      jnp.asarray(noise_of(key, x)))),
        rtol=1e-3, atol=0.1,
    )  # fmt: skip


def scale_back(spec, u):
    return spec.scale.inverse(u)


def noise_of(key, x):
    return np.stack([jax.random.normal(jax.random.fold_in(key, k), x.shape[1:]) for k in range(len(x))])


def test_x_0_is_cut_off_where_the_data_end_and_nowhere_else(key):
    far = lambda x_t, t: -50 * jnp.ones_like(x_t)  # takes x_0 for something enormous  # noqa: E731
    dataset = from_arrays(fluxes())
    ends = {}
    for scale in (Standardise(), ToRange()):
        spec = dataset.scaled(scale).spec
        model = ddpm.model(TINY, spec)
        assert space.limit(spec) == (1.0 if scale == ToRange() else None)
        x_T = jnp.zeros((2, 4, 4, 1))
        clip = space.limit(spec)
        ends[type(scale)] = np.abs(ddpm.sampler.ancestral(key, far, model.parts.schedule, x_T, clip=clip)).max()
    assert ends[ToRange] <= 1.01 < 5 < ends[Standardise]


def test_values_far_from_unit_scale_are_warned_of():
    narrow = np.random.default_rng(0).normal(0.5, 0.1, (64, 4)).astype(np.float32)
    with pytest.warns(UserWarning, match=r"a diffusion model expects .* got mean 0.5.*, standard deviation 0\.0?1?"):
        ddpm.model(TINY, from_arrays(narrow).spec)
    with pytest.warns(UserWarning, match="standardise"):
        ddpm.model(TINY, from_arrays(fluxes()).spec)
    ddpm.model(TINY, from_arrays(narrow, scale=Standardise()).spec)  # warnings are errors here


def test_data_that_the_spec_does_not_allow_are_refused(key):
    with pytest.raises(ValueError, match=r"x must lie in \[0, 16\], got 255 to 255; the spec has levels=17"):
        ddpm.model(TINY, Spec((4, 4, 1), "uint8", levels=17)).init(key, {"x": np.full((2, 4, 4, 1), 255, np.uint8)})
    with pytest.raises(ValueError, match="x on its scale must lie in"):
        ddpm.model(TINY, Spec((4, 4, 1), scale=ToRange(0.0, 1.0))).init(key, {"x": fluxes()})


@pytest.mark.slow
def test_a_u_net_on_fluxes(key):
    dataset = from_arrays(fluxes(), scale=Arcsinh())
    config = ddpm.Config(schedule=ddpm.Linear(4), network=ddpm.UNet(features=8, multipliers=(1,), attention=()))
    model = ddpm.model(config, dataset.spec)
    state, _ = fit(model, dataset.train.batches(0, 8), key, 2, progress=False)
    x = np.asarray(model.sample(key, state.variables, 4))
    assert x.shape == (4, 4, 4, 1) and np.isfinite(x).all() and x.std() > 10
