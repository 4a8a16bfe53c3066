"""The model in continuous time on data whose velocity is known: bound, samples, likelihood, imputation; and errors."""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen import data, flow, train
from jaxgen.core import Spec
from jaxgen.paths import Path, karras_times, log_snr_times, oracle

SPEC = Spec((2,))
DATA = oracle.gaussian(np.array([0.5, -0.3]), 0.4)
ENTROPY = 0.5 * 2 * math.log(2 * math.pi * math.e * 0.4**2)
DIGITS = data.load("digits")
SMALL = flow.MLP((8,), time_features=4)
PATHS = [flow.Linear(), flow.Cosine(), flow.LinearBeta(), flow.VarianceExploding()]


def exact(path, prediction):
    """A network that predicts the Gaussian's own conditional means, in whatever form is asked for."""

    def apply(params, x_t, t):
        return prediction.target(path, *_ends(path, x_t, t))

    def _ends(path, x_t, t):
        ends = DATA.ends(path, x_t, t)
        return ends.x_0, t, ends.eps

    return (lambda key, x_t, t: {"none": jnp.zeros(())}), apply


def on(path, config):
    """The config on this path; one of the user's own is refused by the checks of annotations, in tests alone."""
    if isinstance(path, tuple(map(type, PATHS))):
        return dataclasses.replace(config, path=path)
    object.__setattr__(config, "path", path)
    return config


@functools.cache
def known(path=PATHS[0], prediction=None, **changes):
    """A model with that network, its variables, and data."""
    prediction = flow.Velocity() if prediction is None else prediction
    # The data are of standard deviation 0.4: at a ratio of -14 nothing that is seen is left of them.
    config = on(path, flow.Config(prediction=prediction, log_snr=(-14.0, 9.0), num_draws=32, **changes))
    if isinstance(path, flow.LinearBeta):
        config = dataclasses.replace(config, log_snr=(-10.0, 9.0))
    model = flow.model(config, SPEC, network=exact(path, prediction))
    x = np.asarray(DATA.sample(jax.random.key(9), 2000), np.float32)
    return model, model.init(jax.random.key(0), {"x": x[:2]}).variables, {"x": x}


@pytest.mark.parametrize(
    "path",
    [PATHS[0], *(pytest.param(path, marks=pytest.mark.slow) for path in PATHS[1:])],
    ids=lambda path: type(path).__name__,
)
def test_the_bound_of_a_perfect_model_is_the_entropy_on_every_path(path, key):
    model, variables, batch = known(path, flow.V())
    found = model.evaluate(key, variables, batch)["negative_bound"]
    assert abs(found.mean() - ENTROPY) < 4 * found.std() / math.sqrt(2000) + 2e-3


@pytest.mark.parametrize("prediction", [flow.Velocity(), flow.Eps(), flow.X0(), flow.Preconditioned(0.4)], ids=str)
def test_every_prediction_of_the_same_velocity_is_the_same_model(prediction, key):
    reference, variables, _ = known()
    x_t, t = jax.random.normal(key, (5, 2)), jnp.full(5, 0.6)
    model, others, _ = known(prediction=prediction)
    if prediction == flow.Preconditioned(0.4):
        # It is handed c_in x_t and c_noise, of which the exact network above knows nothing.
        ends = flow.Preconditioned(0.4).ends(PATHS[0], x_t, t, jnp.zeros_like(x_t))
        centred = oracle.gaussian(np.zeros(2), 0.4)
        np.testing.assert_allclose(ends.x_0, centred.denoise(PATHS[0], x_t, t), atol=1e-6)
        return
    for name in ("velocity", "denoise"):
        expected = getattr(reference.parts.bind(variables), name)(x_t, t)
        np.testing.assert_allclose(getattr(model.parts.bind(others), name)(x_t, t), expected, atol=1e-5)


@dataclasses.dataclass(frozen=True)
class Square(Path):
    """A user's own: alpha = 1 - t^2, sigma = t."""

    def alpha(self, t):
        return 1 - jnp.square(jnp.asarray(t, jnp.float32))

    def sigma(self, t):
        return jnp.asarray(t, jnp.float32)

    def alpha_rate(self, t):
        return -2 * jnp.asarray(t, jnp.float32)

    def sigma_rate(self, t):
        return jnp.ones_like(jnp.asarray(t, jnp.float32))

    def time(self, log_snr):
        ratio = jnp.exp(-jnp.asarray(log_snr, jnp.float32) / 2)
        return (jnp.sqrt(1 + 4 * jnp.square(ratio)) - 1) / (2 * ratio)


class Together(Square):
    """One whose signal and noise vanish together."""

    def sigma(self, t):
        return self.alpha(t)


def test_a_path_of_the_user_s_own(key):
    model, variables, batch = known(Square(), flow.V())
    found = model.evaluate(key, variables, {"x": batch["x"]})["negative_bound"]
    assert abs(found.mean() - ENTROPY) < 4 * found.std() / math.sqrt(2000) + 2e-3
    with pytest.raises(ValueError, match="path must lose signal as t grows"):
        flow.model(on(Together(), flow.Config(network=SMALL)), SPEC)


SAMPLERS = [
    flow.Heun(20),
    flow.Ancestral(100),
    *(
        pytest.param(sampler, marks=pytest.mark.slow)
        for sampler in (flow.Euler(60), flow.DPMSolver(20), flow.DPMSolver(20, order=3), flow.Churned(20))
    ),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__ + str(getattr(s, "order", "")))
def test_samples_have_the_moments_of_the_data_and_belong_to_their_number(sampler, key):
    model, variables, _ = known()
    x = model.sample(key, variables, 2000, sampler=sampler)
    np.testing.assert_allclose(x.mean(axis=0), DATA.means[0], atol=4 * 0.4 / math.sqrt(2000) + 0.01)
    np.testing.assert_allclose(x.std(axis=0), 0.4, atol=4 * 0.4 / math.sqrt(4000) + 0.02)
    again = model.sample(key, variables, 3, first=5, sampler=sampler)
    np.testing.assert_allclose(again, x[5:8], atol=1e-5)
    states = model.parts.chain(key, variables, 3, first=5, sampler=sampler)
    np.testing.assert_allclose(states[-1], again, atol=1e-5)


def test_noise_of_the_data_and_back_is_the_exact_flow(key):
    model, variables, batch = known()
    some = {"x": batch["x"][:50]}
    noise = model.parts.encode(variables, some, flow.Heun(200, flow.Karras()))
    t_0, t_1 = model.parts.ends
    np.testing.assert_allclose(noise, DATA.flow(PATHS[0], jnp.asarray(some["x"]), t_0, t_1), atol=2e-3)
    back = model.parts.decode(variables, noise, flow.Heun(200, flow.Karras()))
    # The way down ends at t = 0, that up begins at t_0, where the data are taken to be: sigma(t_0) apart.
    np.testing.assert_allclose(back, some["x"], atol=0.02)


@pytest.mark.parametrize(
    "path",
    [flow.Linear(), pytest.param(flow.VarianceExploding(), marks=pytest.mark.slow)],
    ids=["linear", "exploding"],
)
def test_the_log_likelihood_is_that_of_the_data(path, key):
    model, variables, batch = known(path, flow.V())
    some = {"x": batch["x"][:200]}
    # Signs make no difference where the divergence is the same in all directions.
    found = model.parts.log_likelihood(key, variables, some, num_steps=200)
    exact = DATA.log_prob(path, jnp.asarray(some["x"]), 0.0)
    np.testing.assert_allclose(found, exact, atol=0.03)
    judged = model.parts.log_likelihood_and_error(key, variables, some, num_steps=100)
    # The noise of t_0, which the density of the data does not have, is the rest.
    assert (np.abs(judged.log_prob - exact) < judged.error + 0.02).all() and judged.error.max() < 0.1


def test_the_log_likelihood_of_grey_levels_is_a_bound_that_more_draws_tighten(key):
    """Two pixels of 17 levels, all equally likely, and a network of no velocity: a normal density of the bins."""
    spec = Spec((2,), "uint8", 17)
    still = (lambda key, x, t: {"none": jnp.zeros(())}), lambda params, x, t: jnp.zeros_like(x)
    model = flow.model(flow.Config(), spec, network=still)
    x = np.random.default_rng(0).integers(0, 17, (400, 2), np.uint8)
    variables = model.init(key, {"x": x[:2]}).variables
    one, many = (
        model.parts.log_likelihood(key, variables, {"x": x}, num_steps=4, exact=True, num_draws=k) for k in (1, 20)
    )
    t_0, t_1 = model.parts.ends
    alpha, sigma = float(flow.Linear().alpha(t_0)), float(flow.Linear().sigma(t_1))
    low, high = ((x / 16 * 2 - 1 + side / 16) * alpha / sigma for side in (-1, 1))
    exact = np.log(stats.norm.cdf(high) - stats.norm.cdf(low)).sum(axis=1)
    assert one.mean() <= many.mean() + 1e-4 and abs(float(many.mean()) - exact.mean()) < 2e-3
    with pytest.raises(ValueError, match="num_draws must be 1 unless exact=True"):
        model.parts.log_likelihood(key, variables, {"x": x}, num_draws=2)


def test_missing_dimensions_are_drawn_and_known_ones_kept(key):
    model, variables, batch = known()
    x, mask = batch["x"], np.tile([True, False], (2000, 1))
    found = np.asarray(model.parts.impute(key, variables, {"x": x, "mask": mask}, num_steps=200))
    np.testing.assert_array_equal(found[:, 0], x[:, 0])
    assert abs(found[:, 1].mean() + 0.3) < 4 * 0.4 / math.sqrt(2000) + 0.01
    assert abs(found[:, 1].std() - 0.4) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("times", [flow.Uniform(), flow.LogitNormal()], ids=["uniform", "logit-normal"])
def test_the_likelihood_s_loss_is_the_diffusion_cost_however_t_is_drawn(times, key):
    config = flow.Config(times=times, weighting=flow.Likelihood(), network=SMALL, log_snr=(-4.0, 4.0))
    model = flow.model(config, SPEC)
    batch = {"x": np.asarray(DATA.sample(key, 4000), np.float32)}
    variables = model.init(key, batch).variables
    losses, _ = jax.jit(model.objective.loss)(variables, jax.random.key(1), batch, 0)
    bound = model.parts.bound(jax.random.key(2), variables, {"x": batch["x"][:500]}, num_draws=200)
    error = 4 * losses.std() / math.sqrt(4000) + 4 * bound.diffusion.std() / math.sqrt(500) / 2
    assert abs(losses.mean() - bound.diffusion.mean() / 2) < error


def test_the_sigmoid_takes_weight_from_states_that_are_nearly_data():
    path, t, rate = flow.Linear(), jnp.array([0.02, 0.5, 0.9]), jnp.ones(3)
    share = flow.Sigmoid(0.0)(path, t, rate) / flow.Likelihood()(path, t, rate)
    np.testing.assert_allclose(share, jax.nn.sigmoid(-path.log_snr(t)), rtol=1e-6)
    assert share[0] < 0.01 < 0.9 < share[2]
    assert flow.Plain()(path, t, rate) is None


def test_the_bound_alone_trains_the_ends_of_a_learned_path(key):
    """What makes the way even must not move them: their gradient is the derivative of the loss's value."""
    config = flow.Config(
        network=SMALL,
        path=flow.LearnedLogSNR(-3.0, 5.0, num_features=8),
        prediction=flow.Eps(),
        weighting=flow.Likelihood(),
    )
    model = flow.model(config, SPEC)
    batch = {"x": np.asarray(DATA.sample(key, 256), np.float32)}
    variables = model.init(key, batch).variables

    @jax.jit
    def loss(ends):
        path = {**variables["params"]["path"], "ends": ends}
        return model.objective.loss({"params": {**variables["params"], "path": path}}, key, batch, 0)[0].mean()

    ends = variables["params"]["path"]["ends"]
    slopes = jax.grad(loss)(ends)
    for name, end in ends.items():
        above, below = (loss({**ends, name: end + step}) for step in (0.05, -0.05))
        np.testing.assert_allclose(slopes[name], (above - below) / 0.1, rtol=0.02, atol=2e-4)
    whole = jax.grad(lambda v: model.objective.loss(v, key, batch, 0)[0].mean())(variables)["params"]["path"]
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(whole["way"])) > 0


def test_grids_are_the_published_ones():
    path = flow.VarianceExploding()
    np.testing.assert_allclose(flow.Karras()(path, 0.002, 80.0, 18), karras_times(18), rtol=1e-5)
    np.testing.assert_allclose(
        flow.LogSNR()(flow.Cosine(), 0.01, 0.99, 12), log_snr_times(flow.Cosine(), 12, 0.99, 0.01), rtol=1e-5
    )
    assert flow.Even()(path, 0.1, 8.0, 4).tolist() == [8.0, 6.0, 4.0, 2.0, 0.0]
    for grid in (flow.Even(), flow.LogSNR(), flow.Karras()):
        for num in (1, 2, 5):
            assert len(grid(flow.Linear(), 0.001, 0.99, num)) == num + 1


def test_ends_are_the_path_s_own_where_they_are_finite():
    low, high = flow.ends.DEFAULT
    t_0, t_1 = flow.ends.path_ends(flow.Linear())
    np.testing.assert_allclose([flow.Linear().log_snr(t_1), flow.Linear().log_snr(t_0)], [low, high], rtol=1e-4)
    assert flow.ends.path_ends(flow.LinearBeta())[1] == 1.0
    assert flow.ends.default_ends(256) == flow.ends.DEFAULT
    t_0, _ = flow.ends.path_ends(flow.Linear(), levels=17)
    assert abs(t_0 / (1 - t_0) - 1 / 16 / 3) < 2e-3  # a third of half a level
    np.testing.assert_allclose(
        flow.ends.path_ends(flow.VarianceExploding(), (-2 * math.log(80), 5.0))[1], 80, rtol=1e-5
    )


def test_labels_guide_and_may_be_kept_to_an_interval(key):
    config = flow.Config(network=SMALL, conditional=True)
    model = flow.model(config, DIGITS.spec)
    variables = model.init(key, DIGITS.train.batches(seed=0, batch_size=4)(0)).variables
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(key, len(leaves))
    variables = tree.unflatten([0.3 * jax.random.normal(k, v.shape) for k, v in zip(keys, leaves, strict=True)])
    x_t, t = jax.random.normal(key, (3, *DIGITS.spec.event_shape)), jnp.array([0.1, 0.5, 0.9])

    guidance = {"label": 3, "guidance": 2.5}

    @jax.jit
    def velocities(variables):
        choices = ({"label": 3}, {}, guidance, {**guidance, "guidance_interval": (0.3, 0.7)})
        return [model.parts.bind(variables, **options).velocity(x_t, t) for options in choices]

    conditional, without, guided, some = velocities(variables)
    np.testing.assert_allclose(guided, without + 2.5 * (conditional - without), atol=1e-3)
    np.testing.assert_allclose(some[1], guided[1], atol=1e-4)
    np.testing.assert_allclose(some[jnp.array([0, 2])], conditional[jnp.array([0, 2])], atol=1e-3)


def test_an_average_velocity_makes_samples_in_one_step(key):
    config = flow.Config(network=SMALL, average=flow.Average(ratio=0.5))
    model = flow.model(config, SPEC)
    batch = {"x": np.asarray(DATA.sample(key, 64), np.float32)}
    variables = model.init(key, batch).variables
    # The last layer starts at 0, and with it the average velocity: one step goes nowhere.
    x = model.sample(key, variables, 4)
    start = model.parts.chain(key, variables, 4, sampler=flow.Jump(1))[0]
    np.testing.assert_allclose(x, start, atol=1e-6)
    losses, aux = jax.jit(model.objective.loss)(variables, key, batch, 0)
    assert losses.shape == (64,) and np.isfinite(aux.metrics["squared_error"]).all()


class Normalised(nn.Module):
    """A user's network with running statistics."""

    @nn.compact
    def __call__(self, x, t, forms, train):
        h = nn.BatchNorm(use_running_average=not train)(jnp.concatenate([x, t[:, None], forms["span"]], axis=1))
        return nn.Dense(x.shape[1])(h)


def test_running_statistics_of_an_average_velocity_s_network_are_kept(key):
    model = flow.model(flow.Config(average=flow.Average()), SPEC, network=Normalised())
    batch = {"x": np.asarray(DATA.sample(key, 16), np.float32)}
    before = model.init(key, batch)
    after, _ = model.step(key, before, batch)
    means = [state.collections["batch_stats"]["BatchNorm_0"]["mean"] for state in (before, after)]
    assert float(jnp.abs(means[1] - means[0]).max()) > 0


@pytest.mark.slow
def test_one_step_learns_the_average_velocity(key):
    """On Gaussian data, whose flow map is known: one step makes their mean and deviation."""
    config = flow.Config(
        network=flow.MLP((64, 64)), average=flow.Average(ratio=0.5, power=0.0), log_snr=(-10.0, 8.0), ema_decay=0.99
    )
    model = flow.model(config, SPEC)
    x = np.asarray(DATA.sample(key, 20_000), np.float32)
    batches = data.from_arrays(x).train.batches(seed=0, batch_size=256)
    state, _ = train.fit(model, batches, key, 3000, progress=False)
    found = model.sample(key, state.variables, 4000)
    np.testing.assert_allclose(found.mean(axis=0), DATA.means[0], atol=0.05)
    np.testing.assert_allclose(found.std(axis=0), 0.4, atol=0.08)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_snr": (3.0, 1.0)}, r"log_snr\[1\] must be a finite number above 3"),
        ({"path": flow.LinearBeta(), "log_snr": (-30.0, 5.0)}, r"log_snr\[0\] must lie between -10.* got -30"),
        ({"average": flow.Average(), "prediction": flow.Eps()}, "prediction must be Velocity"),
        ({"fourier": (5, 2)}, r"fourier\[1\] must be an integer of at least 5"),
        ({"times": flow.Uniform(0.2, 0.8)}, "times must be drawn from"),
        ({"path": flow.VarianceExploding()}, "times must be drawn from 0.00129.* to 148.* from 0 to 1"),
        ({"prediction": flow.Mixture()}, r"weighting must be Likelihood\(\) or Sigmoid\(\)"),
        ({"path": flow.LearnedLogSNR()}, r"path=LearnedLogSNR\(\) needs weighting=Likelihood\(\)"),
        ({"conditional": True}, "needs labelled data"),
        ({"flip": True}, "flip=True is for images"),
    ],
)
def test_wrong_choices_are_refused(changes, message, key):
    with pytest.raises(ValueError, match=message):
        model = flow.model(flow.Config(**{"network": SMALL, **changes}), SPEC)
        batch = {"x": np.zeros((2, 2), np.float32)}
        model.step(key, model.init(key, batch), batch)


def test_wrong_arguments_are_refused(key):
    model, variables, batch = known()
    some = {"x": batch["x"][:2]}
    with pytest.raises(ValueError, match="guidance needs a label"):
        model.sample(key, variables, 2, guidance=2.0)
    with pytest.raises(ValueError, match="guidance_interval needs a weight"):
        model.sample(key, variables, 2, guidance_interval=(0.1, 0.5))
    with pytest.raises(ValueError, match="needs a model of average velocities"):
        model.sample(key, variables, 2, sampler=flow.Jump(1))
    with pytest.raises(ValueError, match=r"sampler must be a sampler such as Heun\(25\)"):
        model.sample(key, variables, 2, sampler=flow.Heun)
    with pytest.raises(ValueError, match="which can be gone up and down"):
        model.parts.encode(variables, some, flow.Ancestral(3))
    with pytest.raises(ValueError, match='must hold no "mask"'):
        model.evaluate(key, variables, {**some, "mask": np.ones((2, 2), bool)})
    with pytest.raises(ValueError, match="t must lie in"):
        model.parts.diffuse(key, some["x"], 1.5)
    two = (lambda key, x, t: {}, lambda params, x, t: (x, x))
    with pytest.raises(ValueError, match="must return 1 array, got 2"):
        flow.model(flow.Config(), SPEC, network=two).evaluate(key, {"params": {}}, some)
