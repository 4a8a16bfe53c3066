"""Scales of real values: there and back, the change of variables, what is fitted, and what is refused or warned of."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false

import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen import data
from jaxgen.core import Spec, Statistics
from jaxgen.data import Arcsinh, Functions, Identity, Split, Standardise, ToRange, from_arrays, space
from jaxgen.data.statistics import far_from_unit, measured
from jaxgen.runs.config import from_json, to_json

CUBE = Functions(lambda x: jnp.sign(x) * jnp.abs(x) ** 3 / 100, lambda u: jnp.cbrt(100 * u))


def fluxes(num=200, shape=(3, 3, 2), seed=0):
    """Exponential up to thousands, as counts of photons are, with negative noise."""
    rng = np.random.default_rng(seed)
    return (rng.exponential(500, (num, *shape)) + rng.normal(0, 20, (num, *shape))).astype(np.float32)


@pytest.mark.parametrize(
    "scale",
    [
        Identity(),
        Standardise(),
        Standardise(per_channel=True),
        Standardise(100.0, 20.0),
        ToRange(),
        Arcsinh(),
        Arcsinh(10.0),
        Functions(lambda x: jnp.arcsinh(x / 7), lambda u: 7 * jnp.sinh(u)),
    ],
    ids=["as-is", "standardised", "per-channel", "given", "range", "arcsinh", "arcsinh-given", "functions"],
)
def test_there_and_back_and_the_slope_between(scale):
    x = fluxes()
    dataset = from_arrays(x, scale=scale)
    found = Identity() if dataset.spec.scale is None else dataset.spec.scale
    u = found.forward(jnp.asarray(x))
    assert u.dtype == jnp.float32
    np.testing.assert_allclose(found.inverse(u), x, rtol=2e-5, atol=0.02)
    # The slope, by differences in float64.
    h = 1e-2 * (1 + np.abs(x))
    with jax.enable_x64(True):
        wide = (found.forward(jnp.asarray(x + h, jnp.float64)) - found.forward(jnp.asarray(x - h, jnp.float64))) / (
            2 * h.astype(np.float64)
        )
    np.testing.assert_allclose(found.log_derivative(jnp.asarray(x)), np.log(np.abs(wide)), atol=2e-3)


def test_what_is_open_is_fitted_to_the_observed_values_of_the_training_split():
    x = fluxes()
    mask = np.random.default_rng(1).uniform(size=x.shape) < 0.7
    hidden = np.where(mask, x, np.float32(1e6))
    train, test = Split(hidden[:150], mask=mask[:150]), Split(hidden[150:], mask=mask[150:])
    dataset = from_arrays(train.x, mask=train.mask, valid=None, test=test, scale=Standardise())
    seen = x[:150][mask[:150]].astype(np.float64)
    found = dataset.spec.scale
    assert found.mean == pytest.approx(seen.mean()) and found.std == pytest.approx(seen.std())
    statistics = dataset.spec.statistics
    assert statistics.mean == pytest.approx(seen.mean()) and statistics.std == pytest.approx(seen.std())
    # The range is that of all splits, the moments those of the training split.
    assert (statistics.low, statistics.high) == (x[mask].min(), x[mask].max())
    assert dataset.scaled(ToRange()).spec.scale == ToRange(float(seen.min()), float(seen.max()))
    by_channel = dataset.scaled(Standardise(per_channel=True)).spec.scale
    for c in range(2):
        values = x[:150, ..., c][mask[:150, ..., c]].astype(np.float64)
        assert by_channel.mean[c] == pytest.approx(values.mean()) and by_channel.std[c] == pytest.approx(values.std())
    arcsinh = dataset.scaled(Arcsinh()).spec.scale
    assert arcsinh.softening == pytest.approx(float(np.median(np.abs(x[:150][mask[:150]]))))
    u = np.asarray(arcsinh.forward(jnp.asarray(x[:150])))[mask[:150]]
    assert abs(u.mean()) < 1e-4 and abs(u.std() - 1) < 1e-4
    # What is given stays.
    assert dataset.scaled(Arcsinh(softening=3.0)).spec.scale.softening == 3.0
    assert dataset.scaled(Standardise(mean=7.0)).spec.scale.mean == 7.0


def test_the_density_of_the_data_in_their_own_units():
    # Log-normal x: u = log x is normal, and the change of variables gives the log-normal density.
    x = np.random.default_rng(0).lognormal(1.0, 0.5, (50, 4)).astype(np.float32)
    dataset = from_arrays(x, scale=Functions(jnp.log, jnp.exp))
    u = np.asarray(space.to_model(x, dataset.spec), np.float64)
    volume = np.asarray(space.log_volume(x, dataset.spec))
    exact = scipy.stats.lognorm(0.5, scale=math.e).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(scipy.stats.norm(1.0, 0.5).logpdf(u).sum(axis=1) + volume, exact, rtol=1e-4)
    # Where a value is not observed, its slope does not count.
    mask = np.random.default_rng(1).uniform(size=x.shape) < 0.5
    np.testing.assert_allclose(space.log_volume(x, dataset.spec, mask), np.where(mask, -np.log(x), 0).sum(1), rtol=1e-4)
    # Johnson's SU distribution is that of which arcsinh makes a normal one.
    t = np.random.default_rng(2).standard_t(2, (50, 3)).astype(np.float32) * 100
    spec = Spec((3,), scale=Arcsinh(20.0, 0.3, 1.7))
    u = np.asarray(space.to_model(t, spec), np.float64)
    johnson = scipy.stats.johnsonsu(a=-0.3 / 1.7, b=1 / 1.7, scale=20.0).logpdf(t).sum(axis=1)
    found = scipy.stats.norm.logpdf(u).sum(axis=1) + np.asarray(space.log_volume(t, spec))
    np.testing.assert_allclose(found, johnson, rtol=1e-4)
    # An affine scale: minus log std for each dimension.
    spec = Spec((3,), scale=Standardise(5.0, 2.0))
    np.testing.assert_allclose(space.log_volume(t, spec), np.full(50, -3 * math.log(2)), rtol=1e-6)


def test_scale_and_statistics_leave_fingerprint_and_equality():
    x = fluxes()
    plain, scaled = from_arrays(x), from_arrays(x, scale=Arcsinh())
    assert plain.fingerprint == scaled.fingerprint
    assert scaled.scaled(Identity()).spec == plain.spec == Spec((3, 3, 2))
    assert plain.spec != scaled.spec  # a compiled function must not be shared
    assert hash(plain.spec) == hash(Spec((3, 3, 2))) and hash(scaled.spec) is not None
    # What is known of the data is always that of these data.
    stale = Spec((3, 3, 2), statistics=Statistics(0.0, 1.0, 0.5, 0.3))
    splits = {"train": plain.train, "test": plain.test}
    assert data.Dataset("again", stale, **splits).spec.statistics.high > 1000
    assert data.digits().spec.statistics is None


@pytest.mark.parametrize(
    "scale", [Identity(), Standardise((1.0, 2.0), (3.0, 4.0)), ToRange(0.0, 1.0), Arcsinh(1.0, 2.0, 3.0), Arcsinh()]
)
def test_scales_are_configs(scale):
    assert from_json(to_json(scale)) == scale


def test_a_pair_of_functions_is_refused_in_a_manifest():
    with pytest.raises(TypeError, match="function"):
        to_json(CUBE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Standardise(std=0.0), "std must be a finite number above 0, got 0.0"),
        (lambda: Standardise(mean=math.nan), "mean must be a finite number, got nan"),
        (lambda: Standardise((1.0,), (1.0, 2.0)), "as many channels, got 1 and 2"),
        (lambda: ToRange(1.0, 1.0), "low must be below high"),
        (lambda: Arcsinh(softening=-1.0), "softening must be a finite number above 0"),
        (lambda: from_arrays(np.ones((20, 3), np.float32), scale=Standardise()), "that differ, got 1 throughout"),
        (lambda: from_arrays(np.zeros((20, 3), np.float32), scale=Arcsinh()), "not all 0"),
        (lambda: from_arrays(fluxes(), scale=ToRange(0.0, 1.0)), "low and high must hold all values"),
        (lambda: from_arrays(fluxes(), scale=Standardise((1.0, 2.0, 3.0))), "a number for each channel"),
        (lambda: from_arrays(fluxes(shape=()), scale=Standardise(per_channel=True)), "a channel axis"),
        (lambda: from_arrays(fluxes(), scale=Functions(jnp.log, jnp.exp)), "must be finite"),
        (lambda: from_arrays(fluxes(), scale=Functions(jnp.abs, lambda u: u)), "leads back"),
        (lambda: from_arrays(fluxes(), scale=Functions(jnp.fliplr, jnp.fliplr)), "by itself"),
        (lambda: from_arrays(fluxes(), scale=Functions(lambda x: x, lambda u: u, bounded=True)), r"lead to \[-1, 1\]"),
        (lambda: from_arrays(fluxes(), scale=Functions(lambda x: x[..., 0], lambda u: u)), "keep shape and dtype"),
        (lambda: from_arrays(np.zeros((20, 3), np.uint8), scale=Standardise()), "grey levels 0..255 have a scale"),
        (lambda: data.load("digits", scale=ToRange()), "grey levels 0..16 have a scale"),
        (lambda: Spec((2,), "uint8", 17, scale=Standardise(0.0, 1.0)), "scale must be None for grey levels"),
        (lambda: Standardise().forward(jnp.zeros(3)), "must be numbers, got None: fit the scale"),
    ],
)  # fmt: skip
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mask_that_hides_everything_leaves_nothing_to_fit():
    x = fluxes(20)
    dataset = from_arrays(x, mask=np.zeros(x.shape, bool))
    assert dataset.spec.statistics is None
    with pytest.raises(ValueError, match="hides all of the training split"):
        dataset.scaled(Standardise())


def test_statistics_are_exact_where_float32_sums_are_not():
    x = np.full((3000, 1000), 1000.0, np.float32)
    x[::2] += 1
    found = measured(x)
    assert found == Statistics(1000.0, 1001.0, 1000.5, 0.5)


def test_the_toys_are_of_unit_scale_and_physical_units_are_not():
    for name in ("ring", "grid", "two_moons", "swiss_roll"):
        assert not far_from_unit(data.load(name, num=(1000, 10, 10)).spec.statistics)
    assert far_from_unit(Statistics(0.0, 1.0, 0.5, 0.1))
    assert far_from_unit(Statistics(0.0, 5000.0, 500.0, 500.0))
    assert far_from_unit(Statistics(90.0, 110.0, 100.0, 1.0))
    assert not far_from_unit(Statistics(0.0, 1.0, 0.13, 0.31))  # MNIST as floats


def test_every_source_of_floats_takes_a_scale(tmp_path):
    x = fluxes(40)
    np.savez(tmp_path / "one.npz", x=x)
    np.savez(tmp_path / "split.npz", train_x=x[:30], test_x=x[30:])
    for name in ("one.npz", "split.npz"):
        dataset = data.load(tmp_path / name, scale=Arcsinh())
        assert isinstance(dataset.spec.scale, Arcsinh) and dataset.spec.scale.softening > 0
        assert dataset.spec.scale == data.from_file(tmp_path / name, scale=Arcsinh()).spec.scale
    assert data.load("ring", num=(100, 10, 10), scale=Standardise()).spec.scale.std == pytest.approx(0.7, abs=0.1)


def test_pictures_are_in_the_range_of_the_data():
    x = fluxes()
    assert space.colours(data.digits().spec) == {}  # as they are, in [0, 1]
    assert space.colours(Spec((2,))) == {}
    assert space.colours(from_arrays(x).spec) == {"vmin": x.min(), "vmax": x.max()}
    scaled = from_arrays(x, scale=Arcsinh())
    u = np.asarray(data.to_seen(x, scaled.spec))
    assert space.colours(scaled.spec) == {"vmin": pytest.approx(u.min(), 1e-5), "vmax": pytest.approx(u.max(), 1e-5)}
    turned = from_arrays(x, scale=Functions(lambda x: -x, lambda u: -u))
    assert space.colours(turned.spec) == {"vmin": -x.max(), "vmax": -x.min()}
    assert space.colours(from_arrays(x, scale=Standardise(per_channel=True)).spec) == {}


def test_metrics_look_at_unit_size():
    x = fluxes()
    for dataset in (data.digits(), from_arrays(x, scale=Arcsinh()), from_arrays(np.abs(x) / np.abs(x).max())):
        assert space.for_metrics(dataset.spec) == dataset.spec
    spec = space.for_metrics(from_arrays(x).spec)
    u = np.asarray(data.to_seen(x, spec))
    assert abs(u.min()) < 1e-6 and abs(u.max() - 1) < 1e-6
    assert space.seen(np.float32([2 * x.max()]), spec)[0] > 1.5  # nothing is cut off


def test_nothing_is_warned_of_where_a_scale_is_declared():
    from jaxgen import vae

    dataset = from_arrays(fluxes())
    config = vae.Config(latent_dim=2, hidden=(4,), likelihood=vae.Normal())
    with pytest.warns(UserWarning, match=r"got mean .* values from .*; give the data a scale"):
        vae.model(config, dataset.spec)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vae.model(config, dataset.scaled(Standardise()).spec)
        vae.model(config, Spec((3, 3, 2)))
