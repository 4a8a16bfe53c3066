"""Samplers on data for which the exact denoiser, the probability flow and the samples are known."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ddpm import conditioning, prediction, process, sampler
from jaxgen.ddpm.oracle import GaussianData, GaussianMixtureData
from jaxgen.ddpm.sampler import ancestral, ddim, dpm_solver_pp
from jaxgen.ddpm.schedule import cosine, linear, respaced, uniform_timesteps
from jaxgen.draws import example_keys

SCHEDULE = linear(12, 0.02, 0.5)
STANDARD = GaussianData(np.zeros(3))
SHIFTED = GaussianData(np.array([0.5, -0.2, 0.1]), 0.4)
EXACT, OF_STANDARD = (functools.partial(oracle.denoise, SCHEDULE) for oracle in (SHIFTED, STANDARD))
NUM = 4096

# Compiled once for all the tests that ask for the same.
CHOICES = ("denoise", "schedule", "timesteps", "until", "clip", "keep")
ANCESTRAL = jax.jit(ancestral, static_argnames=(*CHOICES, "variance"))
DDIM = jax.jit(ddim, static_argnames=(*CHOICES, "eta"))
DPM_SOLVER_PP = jax.jit(dpm_solver_pp, static_argnames=(*CHOICES, "order"))


@pytest.fixture
def x_T(key):
    return jax.random.normal(key, (NUM, 3))


def test_ddim_with_eta_1_is_ancestral_with_the_posterior_variance_draw_for_draw(key, x_T):
    one = ANCESTRAL(key, EXACT, SCHEDULE, x_T)
    np.testing.assert_allclose(one, DDIM(key, EXACT, SCHEDULE, x_T, eta=1.0), atol=1e-5)
    assert not np.allclose(one, DDIM(key, EXACT, SCHEDULE, x_T), atol=0.1)


def test_one_step_of_ddim_is_that_of_the_paper(key, x_T):
    """Song et al., equations 12 and 16, from t = 12 to s = 5, with some of the noise."""
    ab_t, ab_s, eta = SCHEDULE.alpha_bar[12], SCHEDULE.alpha_bar[5], 0.5

    @jax.jit
    def parts(x):
        return EXACT(x, 12), process.step_normals(example_keys(key, jnp.arange(NUM)), jnp.int32(12), x)

    x, eps, z = (np.asarray(part, np.float64) for part in (x_T, *parts(x_T)))
    sigma = eta * np.sqrt((1 - ab_s) / (1 - ab_t)) * np.sqrt(1 - ab_t / ab_s)
    x_0 = (x - np.sqrt(1 - ab_t) * eps) / np.sqrt(ab_t)
    exact = np.sqrt(ab_s) * x_0 + np.sqrt(1 - ab_s - sigma**2) * eps + sigma * z
    found = DDIM(key, EXACT, SCHEDULE, x_T, timesteps=(12,), until=5, eta=eta)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def test_dpm_solver_of_first_order_is_ddim(key, x_T):
    one = DPM_SOLVER_PP(key, EXACT, SCHEDULE, x_T, order=1)
    np.testing.assert_allclose(one, DDIM(key, EXACT, SCHEDULE, x_T), atol=1e-5)
    assert not np.allclose(one, DPM_SOLVER_PP(key, EXACT, SCHEDULE, x_T), atol=1e-3)


@pytest.mark.parametrize(("solve", "order"), [(DDIM, 1), (DPM_SOLVER_PP, 2)])
def test_orders_of_convergence_to_the_exact_flow(solve, order, key):
    """Uniform t, 50, 100 and 200 steps from T to t = 1, in float64: the error falls by 2^order as the steps double."""
    schedule = linear(1001)
    with jax.enable_x64(True):
        x_T = jax.random.normal(key, (4, 3), jnp.float64)
        exact = np.asarray(jax.jit(lambda x: SHIFTED.flow(schedule, x, 1001, 1))(x_T))
        errors = []
        for steps in (50, 100, 200):
            timesteps = tuple(range(1001, 0, -1000 // steps))
            denoise = functools.partial(SHIFTED.denoise, schedule)
            found = solve(key, denoise, schedule, x_T, timesteps=timesteps, until=1)
            errors.append(np.abs(np.asarray(found) - exact).max())
    slopes = np.log2(errors[:-1]) - np.log2(errors[1:])
    assert (np.abs(slopes - order) < 0.2).all(), (errors, slopes)


def test_ancestral_samples_of_standard_normal_data_have_its_moments(key, x_T):
    """With variance beta_t the chain is that of the data at every level; the last mean lacks beta_1 of its variance."""
    chain = np.asarray(ANCESTRAL(key, OF_STANDARD, SCHEDULE, x_T, variance=process.beta_variance, keep=1))
    for t, x in zip(range(12, -1, -1), chain, strict=True):
        variance = 1.0 if t else 1 - SCHEDULE.beta[1]
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=4 / math.sqrt(NUM))
        np.testing.assert_allclose(np.cov(x.T), variance * np.eye(3), atol=4 * math.sqrt(2 / NUM))
    # Neighbours are correlated as the forward process has them: sqrt(1 - beta_t), here with t = 9.
    correlation = (chain[3] * chain[4]).mean()
    assert abs(correlation - math.sqrt(1 - SCHEDULE.beta[9])) < 4 / math.sqrt(3 * NUM)


def test_the_exact_reversal_ends_in_the_data(key, x_T):
    schedule = cosine(12)
    denoise = functools.partial(SHIFTED.denoise, schedule)
    x_1 = np.asarray(ANCESTRAL(key, denoise, schedule, x_T, variance=SHIFTED.reverse_variance, until=1))
    spread = SHIFTED.variances(schedule)[1]
    mean = np.sqrt(schedule.alpha_bar[1]) * SHIFTED.mean
    np.testing.assert_allclose(x_1.mean(axis=0), mean, atol=4 * math.sqrt(spread / NUM))
    np.testing.assert_allclose(np.cov(x_1.T), spread * np.eye(3), atol=4 * spread * math.sqrt(2 / NUM))


def test_learned_variances_reach_the_sampler(key, x_T):
    """Fraction 1 is beta_variance; ddim passes it over."""

    def learned(x_t, t):
        return OF_STANDARD(x_t, t), jnp.ones_like(x_t)

    fixed = ANCESTRAL(key, OF_STANDARD, SCHEDULE, x_T, variance=process.beta_variance, keep=1)[-1]
    np.testing.assert_allclose(ANCESTRAL(key, learned, SCHEDULE, x_T), fixed, atol=1e-5)
    np.testing.assert_array_equal(DDIM(key, learned, SCHEDULE, x_T), DDIM(key, OF_STANDARD, SCHEDULE, x_T))


def instructions(sample, schedule, num):
    """Instructions of the compiled program for `num` steps; constants, of which equal ones are merged, left out."""

    def program(key, x_T):
        timesteps = uniform_timesteps(schedule.num_timesteps, num)
        return sample(key, lambda x, t: 0.5 * x, schedule, x_T, timesteps=timesteps, keep=num // 2)

    text = jax.jit(program).lower(jax.random.key(0), jnp.zeros((2, 3))).compile().as_text()
    assert text is not None
    return sum(" = " in line and " constant(" not in line for line in text.splitlines())


@pytest.mark.parametrize("sample", [ancestral, ddim, dpm_solver_pp])
def test_the_program_is_as_long_for_1000_steps_as_for_10(sample):
    ten = instructions(sample, linear(), 10)
    assert ten > 50 and instructions(sample, linear(), 1000) == ten


def test_a_sample_does_not_depend_on_its_batch(key):
    """In a batch of 64 and alone: the same draws bit for bit, the same sample up to rounding."""
    index = np.arange(100, 164, dtype=np.int32)

    @jax.jit
    def drawn(index):
        x_T = sampler.noise(key, index, (3,))
        z = process.step_normals(example_keys(key, index), jnp.int32(5), x_T)
        return x_T, z, ancestral(key, EXACT, SCHEDULE, x_T, index=index)

    many, one = (jax.tree.map(np.asarray, drawn(i)) for i in (jnp.asarray(index), jnp.asarray(index[17:18])))
    np.testing.assert_array_equal(many[0][17:18], one[0])
    np.testing.assert_array_equal(many[1][17:18], one[1])
    np.testing.assert_allclose(many[2][17:18], one[2], atol=1e-5)
    assert np.abs(many[2][16] - one[2][0]).max() > 0.01
    by_hand = jax.random.fold_in(jax.random.fold_in(key, 117), 5)
    np.testing.assert_array_equal(one[1][0], jax.random.normal(by_hand, (3,)))


def test_a_sub_sequence_is_the_respaced_schedule(key, x_T):
    """Steps on some levels are all the steps of those levels' own schedule; noise is keyed by the lecture's t."""
    timesteps = (12, 9, 4, 2)
    sub = respaced(SCHEDULE, timesteps)

    def renumbered(x_t, i):
        return EXACT(x_t, jnp.array([0, 2, 4, 9, 12])[i])

    for sample in (DDIM, DPM_SOLVER_PP):
        found = sample(key, EXACT, SCHEDULE, x_T, timesteps=timesteps)
        np.testing.assert_allclose(found, sample(key, renumbered, sub, x_T), atol=1e-5)

    @jax.jit
    def by_hand(x):
        keys = example_keys(key, jnp.arange(NUM))
        z = jax.vmap(lambda t: process.step_normals(keys, t, x))(jnp.array(timesteps))
        for i, t, noise in zip((4, 3, 2, 1), timesteps, z, strict=True):
            mean, variance = process.reverse(sub, x, i, EXACT(x, t))
            x = mean + jnp.sqrt(variance) * noise if i > 1 else mean
        return x

    np.testing.assert_allclose(ANCESTRAL(key, EXACT, SCHEDULE, x_T, timesteps=timesteps), by_hand(x_T), atol=1e-5)


def test_what_is_kept_of_the_chain(key, x_T):
    full = np.asarray(DDIM(key, EXACT, SCHEDULE, x_T, keep=1))
    assert full.shape == (13, NUM, 3)
    np.testing.assert_array_equal(full[0], x_T)
    np.testing.assert_allclose(full[-1], DDIM(key, EXACT, SCHEDULE, x_T), atol=1e-6)
    # Every fifth of 12 steps: x_12, x_7, x_2 and the last, which does not fall on a fifth.
    fifth = DDIM(key, EXACT, SCHEDULE, x_T, keep=5)
    np.testing.assert_allclose(fifth, full[np.array([0, 5, 10, 12])], atol=1e-6)
    np.testing.assert_allclose(full[5], DDIM(key, EXACT, SCHEDULE, x_T, until=7), atol=1e-6)
    assert DDIM(key, EXACT, SCHEDULE, x_T, keep=100).shape == (2, NUM, 3)


def test_clipped_samples_stay_in_range(key, x_T):
    def wild(x_t, t):
        return 3 * jnp.sin(5 * x_t)

    assert np.abs(np.asarray(DDIM(key, wild, SCHEDULE, x_T))).max() > 0.6
    for sample in (ANCESTRAL, DDIM, DPM_SOLVER_PP):
        assert np.abs(np.asarray(sample(key, wild, SCHEDULE, x_T, clip=0.5))).max() <= 0.5 + 1e-6


def test_guidance_at_its_limits(x_T):
    """w = 0 is the model without the condition, w = 1 that with it, and beyond it goes on along the line."""

    def denoise(x_t, t, shift):
        return x_t * t[:, None].astype(jnp.float32) + shift

    x_T, shift, t = np.asarray(x_T), np.full((NUM, 3), 0.7, np.float32), np.arange(NUM, dtype=np.int32) % 4

    @jax.jit
    def steered(w, x_T, t, shift):
        return conditioning.guided(lambda *a: (denoise(*a), a[2]), w, shift, jnp.zeros_like(shift))(x_T, t)

    for w in (0.0, 1.0, 3.0, -1.0):
        eps_hat, fraction = steered(w, x_T, t, shift)
        np.testing.assert_allclose(eps_hat, x_T * t[:, None] + w * shift, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(fraction, shift)  # of a learned variance, that with the condition


def test_guidance_shifts_points_apart(key, x_T):
    """Two classes, points at +-m, each other's null: w takes the class to (2 w - 1) m."""
    means = np.array([[0.3], [-0.3]], np.float32)

    def denoise(x_t, t, label):
        return prediction.eps_from_x_0(SCHEDULE, x_t, t, jnp.broadcast_to(jnp.asarray(means)[label], x_t.shape))

    label = np.arange(NUM) % 2
    for w in (1.0, 2.0):
        found = DDIM(key, conditioning.guided(denoise, w, jnp.asarray(label), jnp.asarray(1 - label)), SCHEDULE, x_T)
        np.testing.assert_allclose(found, np.broadcast_to((2 * w - 1) * means[label], (NUM, 3)), atol=1e-5)


def test_inpainting_keeps_what_is_observed_and_lands_on_its_mode(key):
    """Two tight modes, and three dimensions of four that tell which one it is."""
    means = np.array([[1.0, 1.0, -1.0, 0.5], [-1.0, -1.0, 1.0, -0.5]])
    mixture, schedule = GaussianMixtureData(means, np.array([0.1, 0.1]), np.array([0.5, 0.5])), cosine(60)
    mask = jnp.asarray(np.tile([True, True, True, False], (NUM, 1)))

    @jax.jit
    def drawn(key):
        key_x, key_eps = jax.random.split(key)
        x = mixture.sample(key_x, NUM)
        share = mixture.responsibilities(schedule, x, 0, mask)
        return x, jnp.where(mask, x, jnp.nan), share, jax.random.normal(key_eps, x.shape)

    x, holes, share, x_T = drawn(key)
    share = np.asarray(share)
    assert (share.max(axis=1) > 0.999).all()  # what is observed leaves no doubt
    right = means[share.argmax(axis=1), 3]

    def hits(samples):
        """How many are within five deviations of the right mode, which is nearer than the other one."""
        return (np.abs(np.asarray(samples)[:, 3] - right) < 0.5).mean()

    denoise = functools.partial(mixture.denoise, schedule)
    for sample in (ancestral, ddim):
        inpaint = jax.jit(
            functools.partial(conditioning.inpaint, sampler=sample), static_argnames=("denoise", "schedule")
        )
        found = inpaint(key, denoise, schedule, x_T, holes, mask)
        np.testing.assert_array_equal(np.asarray(found)[:, :3], np.asarray(x)[:, :3])
        assert hits(found) > 0.99
    assert 0.4 < hits(DDIM(key, denoise, schedule, x_T)) < 0.6  # without what is observed


def test_observed_dimensions_run_through_the_forward_process(key, x_T):
    """On the way down the first is as q(x_t | x_0) has it, with mean sqrt(alpha_bar_t) x and variance 1 - alpha_bar_t.

    The data being N(m, s^2 I), it says nothing of the others: they are sampled as without it, draw for draw.
    """
    x, mask = (jnp.asarray(np.tile(row, (NUM, 1))) for row in (np.full(3, 0.8, np.float32), [True, False, False]))
    denoise = conditioning.inpainted(EXACT, SCHEDULE, x, mask)

    @jax.jit
    def run(x_T):
        start = jnp.where(mask, process.diffuse(SCHEDULE, x, 12, x_T), x_T)
        return ancestral(key, denoise, SCHEDULE, start, keep=1)

    chain = np.asarray(run(x_T))
    for t in range(12, 0, -1):
        level, variance = chain[12 - t, :, 0], 1 - SCHEDULE.alpha_bar[t]
        error = np.sqrt(variance / NUM)
        np.testing.assert_allclose(level.mean(), 0.8 * np.sqrt(SCHEDULE.alpha_bar[t]), atol=4 * error)
        np.testing.assert_allclose(level.var(), variance, rtol=4 * math.sqrt(2 / NUM))
    np.testing.assert_allclose(chain[-1, :, 0], 0.8, atol=1e-5)
    free = np.asarray(ANCESTRAL(key, EXACT, SCHEDULE, x_T))
    np.testing.assert_allclose(chain[-1, :, 1:], free[:, 1:], atol=1e-5)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda *a: ddim(*a, timesteps=(13, 5)), r"each of timesteps must be an integer in 1\.\.12, got 13"),
        (lambda *a: ddim(*a, timesteps=(5, 7)), "fall strictly, got 7 after 5"),
        (lambda *a: ancestral(*a, timesteps=(5, 5)), "fall strictly, got 5 after 5"),
        (lambda *a: ancestral(*a, timesteps=(12,) * 13), "at most T=12 many, got 13"),
        (lambda *a: dpm_solver_pp(*a, timesteps=()), "at least one t, got none"),
        (lambda *a: ddim(*a, until=12), r"until must be an integer in 0\.\.11, below where the steps start, got 12"),
        (lambda *a: ddim(*a, timesteps=(5, 2), until=-1), r"until must be an integer in 0\.\.4"),
        (lambda *a: ddim(*a, eta=1.5), r"eta must be a finite number at least 0 and at most 1, got 1.5"),
        (lambda *a: dpm_solver_pp(*a, order=3), "order must be 1 or 2, got 3"),
        (lambda *a: ancestral(*a, keep=0), "keep must be an integer of at least 1, got 0"),
        (lambda *a: ancestral(*a, clip=-1.0), "clip must be a finite number above 0, got -1"),
    ],
)
def test_errors(use, message, key, x_T):
    with pytest.raises(ValueError, match=message):
        use(key, EXACT, SCHEDULE, x_T)
