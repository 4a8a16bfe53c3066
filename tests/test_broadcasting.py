"""No equation broadcasts by mistake, and none takes integers for real numbers: found by name, while it is traced."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from jaxgen import autoencoder, ddpm, distributions, events, gan, paths, vae
from jaxgen.ddpm import conditioning, objective, prediction, process, sampler, schedule, weighting
from jaxgen.ddpm.tables import coefficient
from jaxgen.gan import latent, monitor, penalties
from jaxgen.vae import inference

KEY = jax.random.key(0)
S = schedule.linear(8, 0.01, 0.2)
B, Z, K = jnp.zeros(3), jnp.zeros((3, 2)), jnp.zeros((4, 3))
COLUMN, INTEGERS, MASK = jnp.zeros((3, 1)), jnp.zeros((3, 2), jnp.int32), jnp.ones((3, 2), bool)
T = jnp.ones(3, jnp.int32)


def hybrid_loss(*arguments):
    return inspect.unwrap(objective.hybrid_loss)(*arguments, levels=None)


CASES = [
    # One value per example is [b], not [b, 1], and never fewer or more.
    (vae.objective.negative_elbo, (COLUMN, Z, Z), r"log_likelihood and rate must have equal shapes, got \(3, 1\) and"),
    (vae.objective.negative_elbo, (jnp.zeros(()), Z, Z), "log_likelihood and rate must have equal shapes"),
    (vae.objective.negative_elbo, (B, Z, Z, B), r"beta must have shape \(\), got \(3,\)"),
    (vae.objective.negative_elbo, (B, Z, Z, float("nan")), "beta must be a finite number, got nan"),
    (vae.objective.path_negative_elbo, (COLUMN, Z, Z, Z), r"log_likelihood must have shape \[b\], got \(3, 1\)"),
    (vae.objective.path_negative_elbo, (B, Z, Z[:1], Z), "mu must have shape"),
    (vae.objective.monte_carlo_log_likelihood, (B,), r"log_likelihood must have shape \[k, b\], got \(3,\)"),
    (vae.objective.monte_carlo_log_likelihood, (K[:0],), "log_likelihood must hold at least one draw"),
    (vae.objective.importance_weighted_bound, (K, B, K), r"log_prior must have shape \[k, b\], got \(3,\)"),
    (vae.objective.importance_weighted_bound, (B, B, B), r"log_likelihood must have shape \[k, b\], got \(3,\)"),
    (vae.objective.importance_weighted_bound, (K, K[:, :1], K), "must have equal shapes"),
    (vae.objective.active_units, (B,), r"mu must have shape \[n, z\], got \(3,\)"),
    (inference.prior_log_likelihood, (KEY, T, 2, lambda z: z[:, :1], 4, 2), r"log_likelihood must have shape \(3,\)"),
    (inference.importance_log_likelihood, (KEY, T, Z, COLUMN, lambda z: z[:, 0], 4, 2), "log_var must have shape"),
    (inference.log_mean_exp, (lambda i: jnp.zeros((2, 3, 1)), 4, 2, 3), r"log_weights must have shape \(2, 3\)"),
    (autoencoder.objective.reconstruction_loss, (Z, COLUMN), "x and x_hat must have equal shapes"),
    (autoencoder.objective.reconstruction_loss, (Z, Z, MASK[:, :1]), "mask must have shape"),
    (gan.objective.value, (COLUMN, COLUMN), r"logits_real must have shape \[b\], got \(3, 1\)"),
    (gan.objective.minimax_generator_loss, (COLUMN,), r"logits_fake must have shape \[b\]"),
    (gan.objective.optimal_value, (Z, Z, B), r"weights must have shape \(2,\), got \(3,\)"),
    (penalties.r1_penalty, (KEY, lambda x: x[:, :1], Z, Z), r"logits must have shape \(3,\), got \(3, 1\)"),
    (penalties.gradient_penalty, (KEY, lambda x: x, Z, Z), r"logits must have shape \(3,\), got \(3, 2\)"),
    (monitor.diversity, (Z, COLUMN), "x_fake and x_real must have equal shapes"),
    (latent.interpolated, (latent.Normal(), Z, Z[:1], 3), "z_from and z_to must have equal shapes"),
    (latent.inverted, (lambda z: z[:, :1], latent.Normal(), Z, Z[None], 2), "x and generated must have equal shapes"),
    (process.diffuse, (S, Z, T, COLUMN), "x_0 and eps must have equal shapes"),
    (process.posterior, (S, Z, COLUMN, T), "x_0 and x_t must have equal shapes"),
    (process.reverse, (S, Z, T, COLUMN), "x_t and eps_hat must have equal shapes"),
    (process.reverse, (S, Z, T, Z, COLUMN), "x_t and fraction must have equal shapes"),
    (process.clipped, (S, Z, T, COLUMN, 1.0), "x_t and eps_hat must have equal shapes"),
    (coefficient, (S.beta, jnp.ones((3, 1), jnp.int32), Z), r"t must be a scalar or of shape \(3,\)"),
    (process.sample_keys, (KEY, Z, T[:2]), r"index must have shape \(3,\), got \(2,\)"),
    (prediction.x_0_from_eps, (S, Z, T, COLUMN), "x_t and eps must have equal shapes"),
    (prediction.eps_from_v, (S, Z, T, COLUMN), "x_t and v must have equal shapes"),
    (paths.diffuse, (paths.Linear(), Z, 0.5, COLUMN), "x_0 and eps must have equal shapes"),
    (paths.prediction.ends_from_v, (paths.Linear(), Z, 0.5, COLUMN), "x_t and v must have equal shapes"),
    (paths.Velocity().velocity, (paths.Linear(), Z, 0.5, COLUMN), "x_t and output must have equal shapes"),
    (paths.path.signal_and_noise, (paths.Linear(), COLUMN, Z), r"t must have shape \(\) or \(3,\)"),
    (paths.path.signal_and_noise, (paths.Linear(), T, Z), "t must have a floating dtype"),
    (paths.flow_log_prob, (lambda x, t: x, INTEGERS, (1.0, 0.0)), "x_0 must have a floating dtype, got int32"),
    (paths.heun, (lambda x, t: x, INTEGERS, (1.0, 0.0)), "x must have a floating dtype, got int32"),
    (paths.noise, (KEY, paths.Linear(), 1.0, B, (2,)), "index must have an integer dtype, got float32"),
    (objective.simple_loss, (Z, COLUMN), "eps and eps_hat must have equal shapes"),
    (objective.denoising_cost, (S, Z, Z, T + 1, COLUMN, Z), "must have equal shapes"),
    (objective.reconstruction_cost, (Z, COLUMN, Z, None), "must have equal shapes"),
    (
        hybrid_loss,
        (COLUMN, S, Z, Z, T, Z, Z),
        r"simple must have shape \[b\]",
    ),
    (conditioning.inpainted, (lambda x, t: x, S, Z, MASK[:, :1]), "mask must have shape"),
    (conditioning.guided(lambda x, t, c: x, 2.0, T, T[:1]), (Z, T), "condition and null must have equal shapes"),
    (weighting.MinSNR().__call__, (S, T[:, None], prediction.Eps()), r"t must have shape \[b\], got \(3, 1\)"),
    # Integers and bools are no real numbers, floats no integers, and floats no masks.
    (distributions.normal_log_prob, (INTEGERS, Z, Z), "x must have a floating dtype, got int32"),
    (distributions.bernoulli_log_prob, (MASK, Z), "x must have a floating dtype, got bool"),
    (distributions.bernoulli_log_prob, (Z, Z, Z), "mask must have dtype bool, got float32"),
    (distributions.standard_normal_kl, (Z, INTEGERS), "log_var must have a floating dtype, got int32"),
    (distributions.kl_divergence, (INTEGERS, Z), "p must have a floating dtype, got int32"),
    (distributions.affine, (Z, 0.0, Z), "log_var must be an array of a floating dtype, got float 0.0"),
    (autoencoder.objective.reconstruction_loss, (Z, Z, INTEGERS), "mask must have dtype bool, got int32"),
    (gan.objective.non_saturating_generator_loss, (T,), "logits_fake must have a floating dtype, got int32"),
    (gan.objective.optimal_discriminator, (INTEGERS, INTEGERS), "p_data must have a floating dtype, got int32"),
    (process.transition, (S, INTEGERS, T), "x_prev must have a floating dtype, got int32"),
    (process.marginal, (S, INTEGERS, T), "x_0 must have a floating dtype, got int32"),
    (process.diffuse, (S, INTEGERS, T, Z), "x_0 must have a floating dtype, got int32"),
    (coefficient, (S.beta, B, Z), "t must be an integer or integers in 1..8, got float32"),
    (coefficient, (S.beta, True, Z), "t must be an integer or integers in 1..8, got <class 'bool'>"),
    (process.interpolated_variance, (S, INTEGERS, T), "fraction must have a floating dtype, got int32"),
    (prediction.score_from_eps, (S, T, INTEGERS), "eps must have a floating dtype, got int32"),
    (process.sample_keys, (KEY, Z, B), "index must have an integer dtype, got float32"),
    (sampler.dpm_solver_pp, (KEY, lambda x, t: x, S, INTEGERS), "x_T must have a floating dtype, got int32"),
    (sampler.noise, (KEY, B, (2,)), "index must have an integer dtype, got float32"),
    (conditioning.inpaint, (KEY, lambda x, t: x, S, Z, Z, Z), "mask must have dtype bool, got float32"),
    (ddpm.flow_log_prob, (KEY, lambda x, t: x, S, INTEGERS), "x_1 must have a floating dtype, got int32"),
    (weighting.Uniform().__call__, (S, B, prediction.Eps()), "t must have an integer dtype, got float32"),
]


@pytest.mark.parametrize(("function", "arguments", "message"), CASES, ids=[f"{f.__name__}-{m}" for f, _, m in CASES])
def test_what_would_be_broadcast_or_cast_is_refused_by_name(function, arguments, message):
    # (Without the type checks that the import hook adds in tests; methods are unwrapped from their class.)
    own = getattr(function, "__self__", None)
    bare = inspect.unwrap(function if own is None else function.__func__)
    with pytest.raises(ValueError, match=message.replace("..", r"\.\.")):
        bare(*([] if own is None else [own]), *arguments)


DENOISERS = {
    "a column": lambda x, t: x[:, :1],
    "one example": lambda x, t: x[:1],
    "a fraction of another shape": lambda x, t: (x, x[:, :1]),
}


@pytest.mark.parametrize("wrong", DENOISERS)
@pytest.mark.parametrize(
    "use",
    [
        lambda denoise: objective.variational_bound(KEY, denoise, S, Z, levels=None),
        lambda denoise: objective.variational_bound(KEY, denoise, S, Z, levels=None, num_draws=2),
        lambda denoise: objective.path_negative_bound(KEY, denoise, S, Z, levels=None),
        lambda denoise: sampler.ancestral(KEY, denoise, S, Z),
        lambda denoise: sampler.ddim(KEY, denoise, S, Z),
        lambda denoise: sampler.dpm_solver_pp(KEY, denoise, S, Z),
        lambda denoise: ddpm.flow_log_prob(KEY, denoise, S, Z),
        lambda denoise: conditioning.guided(lambda x, t, c: denoise(x, t), 2.0, T, T)(Z, T),
    ],
    ids=["bound", "drawn bound", "path", "ancestral", "ddim", "dpm", "flow", "guided"],
)
def test_a_denoiser_returns_events(use, wrong):
    with pytest.raises(ValueError, match=r"(eps_hat|variance fraction) of denoise must have shape"):
        jax.eval_shape(lambda: use(DENOISERS[wrong]))


@pytest.mark.parametrize("wrong", ["a column", "one example"])
@pytest.mark.parametrize(
    "use",
    [
        lambda predict: paths.euler(predict, Z, (1.0, 0.5, 0.0)),
        lambda predict: paths.heun(predict, Z, (1.0, 0.5, 0.0)),
        lambda predict: paths.dpm_solver_pp(predict, paths.Linear(), Z, (1.0, 0.5, 0.0)),
        lambda predict: paths.ancestral(KEY, predict, paths.Linear(), Z, (1.0, 0.5, 0.0)),
        lambda predict: paths.flow_log_prob(predict, Z, (1.0, 0.5, 0.0)),
        lambda predict: paths.guided(lambda x, t, c: predict(x, t), 2.0, B, B)(Z, B),
        lambda predict: paths.bound_velocity(paths.Linear(), paths.Eps(), predict)(Z, B + 0.5),
    ],
    ids=["euler", "heun", "dpm", "ancestral", "flow", "guided", "bound"],
)
def test_a_network_on_a_path_returns_events(use, wrong):
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match=r"must have equal shapes|typechecking parameter"):
        jax.eval_shape(lambda: use(DENOISERS[wrong]))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda x: x.astype(jnp.int32), "eps_hat of denoise must have a floating dtype, got int32"),
        (lambda x: (x, x, x), "denoise must return eps_hat, or"),
        (lambda x: None, "denoise must return eps_hat, or .* got None"),
    ],
)
def test_a_denoiser_returns_one_or_two_arrays_of_floats(output, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: objective.variational_bound(KEY, lambda x, t: output(x), S, Z, levels=None))


# t out of range


WITH_T = {
    "transition": lambda t: process.transition(S, Z + 1, t)[0],
    "marginal": lambda t: process.marginal(S, Z + 1, t)[1],
    "diffuse": lambda t: process.diffuse(S, Z + 1, t, Z),
    "posterior": lambda t: process.posterior(S, Z + 1, Z, t)[0],
    "reverse": lambda t: process.reverse(S, Z, t, Z + 1)[0],
    "interpolated_variance": lambda t: process.interpolated_variance(S, Z, t),
    "x_0_from_eps": lambda t: prediction.x_0_from_eps(S, Z, t, Z + 1),
    "score_from_eps": lambda t: prediction.score_from_eps(S, t, Z + 1),
    "step_cost": lambda t: objective.step_cost(S, Z, Z, t, Z, Z + 1, None),
}


@pytest.mark.parametrize("name", WITH_T)
def test_a_t_out_of_range_is_an_error_or_nan_and_never_its_neighbour(name):
    function = WITH_T[name]
    for t in (0, 9, -1):
        with pytest.raises(ValueError, match=rf"t must lie in 1\.\.8, got {t}\.\.{t}"):
            function(jnp.full(3, t))
    times = jnp.array([1, 8, 2])
    right = np.asarray(function(times))
    assert np.isfinite(right).all()
    traced = jax.jit(function)
    np.testing.assert_allclose(traced(times), right, rtol=1e-6)
    for t in (0, 9, -1, -9, 2**31 - 1, -(2**31)):
        found = np.asarray(traced(times.at[1].set(t)))
        assert np.isnan(found[1]).all(), t
        np.testing.assert_allclose(found[[0, 2]], right[[0, 2]], rtol=1e-6)


def test_an_oracle_takes_0_as_the_level_of_the_data():
    data = ddpm.oracle.GaussianData(np.zeros(2), 0.5)
    score = jax.jit(lambda t: data.score(S, Z + 1, t))
    np.testing.assert_allclose(score(jnp.array([0, 1, 8]))[0], -1 / 0.25)
    for t in (-1, 9, -(2**31), 2**31 - 1):
        assert np.isnan(score(jnp.array([t, 1, 8]))).all(axis=1).tolist() == [True, False, False]


# The right values


def test_the_values_are_those_of_one_per_example():
    log_likelihood, mu, log_var = jnp.array([-1.0, -2.0, -3.0]), Z + 1, Z
    np.testing.assert_allclose(vae.objective.negative_elbo(log_likelihood, mu, log_var), [2.0, 3.0, 4.0])
    weights = jnp.log(jnp.array([[1.0, 2.0], [3.0, 2.0]]))
    bound = vae.objective.importance_weighted_bound(weights, jnp.zeros((2, 2)), jnp.zeros((2, 2)))
    np.testing.assert_allclose(bound, np.log([2.0, 2.0]), rtol=1e-6)


def test_the_bound_of_the_exact_denoiser_is_the_entropy_and_not_what_broadcasting_made_of_it():
    data = ddpm.oracle.GaussianData(np.zeros(2), 1.0)
    x_0 = jax.random.normal(KEY, (4000, 2))
    bound = objective.variational_bound(
        KEY, partial(data.denoise, S), S, x_0, levels=None, variance=process.beta_variance
    ).negative_bound
    error = float(bound.std() / np.sqrt(4000))
    assert abs(float(bound.mean()) - data.entropy()) < 4 * error


def test_the_helpers_say_what_they_want():
    events.require_floats(x=Z, mask=None)
    events.require_integers(t=np.arange(3))
    events.require_per_example(a=B, b=B)
    events.require_events(x=jnp.zeros((3, 2, 2), jnp.bfloat16))
    for call, message in [
        (lambda: events.require_floats(x=[1.0]), "x must be an array of a floating dtype, got list"),
        (lambda: events.require_events(x=jnp.zeros(())), r"x must have shape \[b, \*event\], got \(\)"),
        (lambda: events.require_per_example(a=Z), r"a must have shape \[b\], got \(3, 2\)"),
        (lambda: events.require_latent(2, z=jnp.zeros((3, 4))), r"z must have shape \[b, 2\], got \(3, 4\)"),
        (lambda: events.require_mask((3, 2), jnp.ones((3,), bool)), r"mask must have shape \(3, 2\), got \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
