"""Pictures of equations that no notebook draws, each from the functions that the equation is.

Every public function draws one and returns a matplotlib figure.
"""

import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxgen import data, distributions, gan, vae
from jaxgen.ddpm import objective, oracle, process, sampler, schedule, weighting


def _axes(columns=1, width=5.0):
    return plt.subplots(1, columns, figsize=(width, 2.2), layout="constrained", squeeze=False)


def densities():
    """The three log-probabilities of a value, as functions of the decoder's output."""
    figure, axes = _axes(3, 7.5)
    mu = jnp.linspace(-1.0, 1.0, 101)[:, None]
    x = jnp.full_like(mu, 1 / 3)
    axes[0, 0].plot(mu, distributions.normal_log_prob(x, mu, jnp.float32(-2.0)))
    axes[0, 0].set_title("normal, x = 1/3", fontsize=8)
    axes[0, 1].plot(mu, distributions.discretized_normal_log_prob(x, mu, jnp.float32(-2.0), levels=16))
    axes[0, 1].set_title("of 16 grey levels, x = 1/3", fontsize=8)
    logits = jnp.linspace(-6.0, 6.0, 101)[:, None]
    axes[0, 2].plot(logits, distributions.bernoulli_log_prob(jnp.ones_like(logits), logits), label="x = 1")
    axes[0, 2].plot(logits, distributions.bernoulli_log_prob(jnp.zeros_like(logits), logits), label="x = 0")
    axes[0, 2].set_title("Bernoulli", fontsize=8)
    axes[0, 2].legend(fontsize=7)
    for axis, name in zip(axes[0], ("mean of the decoder", "mean of the decoder", "logit of the decoder")):
        axis.set(xlabel=name, ylabel="log p(x | z), nats")
    return figure


def marginal_likelihood():
    """log P(X) of a linear decoder of one dimension, beside draws of X."""
    known = vae.oracle.LinearGaussian(jnp.array([[1.5]]), jnp.array([0.5]), jnp.float32(0.5))
    key_z, key_x = jax.random.split(jax.random.key(0))
    z = jax.random.normal(key_z, (4000, 1))
    x = z @ known.weights.T + known.bias[None] + known.sigma * jax.random.normal(key_x, (4000, 1))
    grid = jnp.linspace(-6.0, 7.0, 201)[:, None]
    figure, axes = _axes()
    axes[0, 0].hist(np.asarray(x[:, 0]), bins=50, density=True, alpha=0.4, label="z, then X given z")
    axes[0, 0].plot(grid[:, 0], jnp.exp(known.log_prob(grid)), color="black", label="P(X), the integral")
    axes[0, 0].set(xlabel="X", ylabel="density")
    axes[0, 0].legend(fontsize=7)
    return figure


def importance_weights():
    """The importance-weighted bound of a known log P(X), by the number of draws of a Q that is too wide."""
    known = vae.oracle.LinearGaussian(jnp.array([[1.5], [0.5]]), jnp.zeros(2), jnp.float32(0.3))
    x = jnp.array([[2.0, 1.0]])
    mean, cov = known.posterior(x)
    log_var = jnp.log(2.0 * jnp.diag(cov))[None]
    counts = (1, 2, 5, 10, 20, 50, 100)
    bounds = []
    for count in counts:
        eps = jax.random.normal(jax.random.key(count), (count, 500, 1))
        z = mean[None] + 0.1 + jnp.exp(0.5 * log_var)[None] * eps
        decoded = z @ known.weights.T
        log_p = distributions.normal_log_prob(
            jnp.broadcast_to(x, (count * 500, 2)), decoded.reshape(-1, 2), 2 * jnp.log(known.sigma)
        ).reshape(count, 500)
        flat = z.reshape(-1, 1)
        prior = distributions.normal_log_prob(flat, jnp.zeros_like(flat), jnp.zeros(())).reshape(count, 500)
        q = distributions.normal_log_prob(flat, mean + 0.1 + jnp.zeros_like(flat), log_var[0, 0]).reshape(count, 500)
        bounds.append(float(vae.objective.importance_weighted_bound(log_p, prior, q).mean()))
    figure, axes = _axes()
    axes[0, 0].plot(counts, bounds, marker=".", label="bound, mean of 500")
    axes[0, 0].axhline(float(known.log_prob(x)[0]), color="black", linestyle="--", linewidth=1, label="log P(X)")
    axes[0, 0].set(xlabel="draws K", ylabel="nats", xscale="log")
    axes[0, 0].legend(fontsize=7)
    return figure


def normal_kl():
    """KL of N(mu, s^2) from N(0, 1), and the other way round."""
    figure, axes = _axes(2)
    zero = jnp.zeros((101, 1))
    mu, log_var = jnp.linspace(-3.0, 3.0, 101)[:, None], jnp.linspace(-3.0, 3.0, 101)[:, None]
    axes[0, 0].plot(mu, distributions.standard_normal_kl(mu, zero))
    axes[0, 0].set(xlabel="mean, at variance 1", ylabel="KL, nats")
    axes[0, 1].plot(log_var, distributions.standard_normal_kl(zero, log_var), label="from N(0, 1)")
    axes[0, 1].plot(log_var, distributions.normal_kl(zero, zero, zero, log_var), label="of N(0, 1)")
    axes[0, 1].set(xlabel="log-variance, at mean 0", ylabel="KL, nats")
    axes[0, 1].legend(fontsize=7)
    return figure


def reparameterised():
    """Draws with a full covariance, from the same eps."""
    figure, axes = _axes(2)
    lower = jnp.array([[1.0, 0.0], [0.8, 0.4]])
    eps = jax.random.normal(jax.random.key(0), (400, 2))
    mu = jnp.broadcast_to(jnp.array([2.0, -1.0]), (400, 2))
    z = distributions.reparameterise_full(jax.random.key(0), mu, jnp.broadcast_to(lower, (400, 2, 2)))
    for axis, points, title in zip(axes[0], (eps, z), ("eps", "mu + L eps")):
        axis.scatter(points[:, 0], points[:, 1], s=3, linewidths=0)
        axis.set_title(title, fontsize=8)
        axis.set(xlabel="$z_1$", ylabel="$z_2$")
        axis.set_aspect("equal")
    return figure


def value_density():
    """The integrand of V as a function of D: concave, highest at the optimal D."""
    figure, axes = _axes()
    d = jnp.linspace(0.001, 0.999, 300)
    for p, q in ((0.5, 0.5), (0.8, 0.2), (0.1, 0.9)):
        p_data, p_model = jnp.full_like(d, p), jnp.full_like(d, q)
        f = gan.objective.value_density(p_data, p_model, d)
        best = float(gan.objective.optimal_discriminator(jnp.array([p]), jnp.array([q]))[0])
        (line,) = axes[0, 0].plot(d, f, label=f"p_d = {p}, p_g = {q}")
        axes[0, 0].axvline(best, linestyle=":", color=line.get_color())
    axes[0, 0].set(xlabel="D; dotted: the optimal one", ylabel="integrand of V, nats", ylim=(-3, 0))
    axes[0, 0].legend(fontsize=7)
    return figure


def divergences():
    """Divergences of a coin from a fair one."""
    figure, axes = _axes()
    p = jnp.linspace(0.0, 1.0, 201)
    coins, fair = jnp.stack([p, 1 - p], axis=-1), jnp.full((201, 2), 0.5)
    axes[0, 0].plot(p, distributions.kl_divergence(coins, fair), label="KL(p || fair)")
    axes[0, 0].plot(p, distributions.kl_divergence(fair, coins), label="KL(fair || p)")
    axes[0, 0].plot(p, distributions.js_divergence(coins, fair), label="JS")
    axes[0, 0].set(xlabel="probability p of heads", ylabel="nats", ylim=(0, 1.5))
    axes[0, 0].legend(fontsize=7)
    return figure


def losses():
    """What D and G minimise, over the logit of a sample."""
    figure, axes = _axes(2, 7.0)
    logits = jnp.linspace(-4.0, 4.0, 201)
    zero = jnp.zeros_like(logits)
    for name in ("least_squares", "hinge", "wasserstein", "relativistic"):
        of_d = getattr(gan.objective, f"{name}_discriminator_loss")
        of_g = getattr(gan.objective, f"{name}_generator_loss")
        axes[0, 0].plot(logits, of_d(zero, logits), label=name)
        axes[0, 1].plot(logits, of_g(zero, logits) if name == "relativistic" else of_g(logits), label=name)
    for axis, title in zip(axes[0], ("of D, the data's logit being 0", "of G")):
        axis.set_title(title, fontsize=8)
        axis.set(xlabel="logit of a sample", ylabel="loss")
    axes[0, 0].legend(fontsize=7)
    return figure


def schedules():
    """Both schedules: what is left of the data at each t."""
    figure, axes = _axes()
    for name, table in (("linear", schedule.linear(1000)), ("cosine", schedule.cosine(1000))):
        axes[0, 0].plot(np.sqrt(table.alpha_bar), label=f"{name}: sqrt alpha_bar_t")
    axes[0, 0].set(xlabel="t", ylabel="share of the data's signal")
    axes[0, 0].legend(fontsize=7)
    return figure


def noising():
    """A digit on its way to noise, step by step."""
    table = schedule.linear(1000)
    x_0 = data.to_signed(data.load("digits").test.x[3:4], data.load("digits").spec)
    chain = process.forward_chain(jax.random.key(0), table, x_0)
    times = [0, 50, 100, 200, 300, 500, 1000]
    figure, axes = plt.subplots(1, len(times), figsize=(7, 1.3), layout="constrained")
    for axis, t in zip(axes, times):
        axis.imshow(chain[t, 0, :, :, 0], cmap="gray_r", vmin=-2, vmax=2)
        axis.set_title(f"t = {t}", fontsize=8)
        axis.axis("off")
    return figure


def markov_chain():
    """Paths of points from their places to noise, each step from the one before."""
    table = schedule.linear(100, 1e-3, 0.2)
    x_0 = jnp.repeat(jnp.array([-1.5, 0.0, 1.5]), 15)[:, None]
    chain = process.forward_chain(jax.random.key(0), table, x_0)
    figure, axes = _axes()
    for k, colour in enumerate(("C0", "C1", "C2")):
        axes[0, 0].plot(chain[:, 15 * k : 15 * (k + 1), 0], color=colour, linewidth=0.5, alpha=0.7)
    axes[0, 0].set(xlabel="t", ylabel="$x_t$")
    return figure


def marginals():
    """Mean and standard deviation of x_t for x_0 = 1, at once for every t."""
    table = schedule.linear(1000)
    t = jnp.arange(1, 1001)
    mean, variance = process.marginal(table, jnp.ones((1000, 1)), t)
    figure, axes = _axes()
    mean = jnp.broadcast_to(mean, (1000, 1))[:, 0]
    deviation = jnp.sqrt(jnp.broadcast_to(variance, (1000, 1)))[:, 0]
    axes[0, 0].plot(t, mean, label="mean")
    axes[0, 0].plot(t, deviation, label="standard deviation")
    axes[0, 0].set(xlabel="t", ylabel="$x_t$ given $x_0 = 1$")
    axes[0, 0].legend(fontsize=7)
    return figure


def posterior_weights():
    """Weights of x_t and of x_0 in the mean of one step back."""
    table = schedule.linear(1000)
    t = jnp.arange(1, 1001)
    one, zero = jnp.ones((1000, 1)), jnp.zeros((1000, 1))
    figure, axes = _axes()
    for x_0, x_t, label in ((zero, one, "of $x_t$"), (one, zero, "of $x_0$")):
        axes[0, 0].plot(t, process.posterior(table, x_0, x_t, t)[0][:, 0], label=label)
    axes[0, 0].set(xlabel="t", ylabel="weight in the mean", xscale="log")
    axes[0, 0].legend(fontsize=7)
    return figure


def variances():
    """The two variances of a step back, by the step's noise."""
    figure, axes = _axes()
    table = schedule.linear(1000)
    t = np.arange(1, 1001)
    axes[0, 0].plot(t, process.posterior_variance(table)[1:] / table.beta[1:], label="posterior variance / beta_t")
    axes[0, 0].plot(t, process.beta_variance(table)[1:] / table.beta[1:], label="beta_t / beta_t")
    axes[0, 0].set(xlabel="t", ylabel="variance / beta_t", xscale="log")
    axes[0, 0].legend(fontsize=7)
    return figure


def reversed_chain():
    """Noise becomes a mixture of two normal distributions, by its exact denoiser."""
    table = schedule.linear(100, 1e-3, 0.2)
    mixture = oracle.GaussianMixtureData(np.array([[-1.0], [1.0]]), np.array([0.2, 0.1]), np.array([0.5, 0.5]))
    index = jnp.arange(200, dtype=jnp.int32)
    x_T = sampler.noise(jax.random.key(0), index, (1,))
    denoise = functools.partial(mixture.denoise, table)
    chain = sampler.ancestral(jax.random.key(0), denoise, table, x_T, keep=1)
    figure, axes = _axes()
    axes[0, 0].plot(np.arange(100, -1, -1), chain[:, :60, 0], color="C0", linewidth=0.5, alpha=0.6)
    axes[0, 0].set(xlabel="t, from noise to data", ylabel="$x_t$")
    axes[0, 0].invert_xaxis()
    return figure


def drawn_t():
    """The t that a batch of 16 is trained at, in 12 steps: one from each sixteenth of them."""
    figure, axes = _axes()
    for step in range(12):
        t = weighting.stratified_t(jax.random.key(step), 16, 1000)
        axes[0, 0].scatter(t, np.full(16, step), s=6, color="C0")
    axes[0, 0].set(xlabel="t", ylabel="training step")
    return figure


def paths():
    """The bound on single paths of normal data: every path with the exact step back, on average with another."""
    gaussian = oracle.GaussianData(np.zeros((1,)), 0.5)
    table = schedule.linear(50, 1e-3, 0.3)
    x_0 = gaussian.sample(jax.random.key(0), 2000)
    figure, axes = _axes()
    for label, variance in (
        ("exact variance", gaussian.reverse_variance),
        ("posterior variance", process.posterior_variance),
    ):
        found = objective.path_negative_bound(
            jax.random.key(1), functools.partial(gaussian.denoise, table), table, x_0, levels=None, variance=variance
        )
        axes[0, 0].hist(np.asarray(-found - gaussian.log_prob(table, x_0, 0)), bins=60, alpha=0.5, label=label)
    axes[0, 0].set(xlabel="bound on a path - log p(x_0), nats", ylabel="paths")
    axes[0, 0].legend(fontsize=7)
    return figure


def bound():
    """Terms of the bound of normal data with their exact denoiser, by the number of steps."""
    gaussian = oracle.GaussianData(np.zeros((1,)), 0.5)
    x_0 = gaussian.sample(jax.random.key(0), 2000)
    counts = (5, 10, 20, 50, 100)
    terms, exact = {"prior": [], "denoising": [], "reconstruction": []}, []
    for count in counts:
        table = schedule.respaced(schedule.linear(1000), schedule.uniform_timesteps(1000, count))
        denoise = functools.partial(gaussian.denoise, table)
        found = objective.variational_bound(jax.random.key(1), denoise, table, x_0, levels=None)
        for name, values in terms.items():
            values.append(float(getattr(found, name).mean()))
        best = objective.variational_bound(
            jax.random.key(1), denoise, table, x_0, levels=None, variance=gaussian.reverse_variance
        )
        exact.append(float(best.negative_bound.mean()))
    figure, axes = _axes()
    for name, values in terms.items():
        axes[0, 0].plot(counts, values, marker=".", linewidth=1, label=name)
    total = np.sum(list(terms.values()), axis=0)
    axes[0, 0].plot(counts, total, "k", marker=".", label="negative bound, posterior variance")
    axes[0, 0].plot(counts, exact, "k:", marker=".", label="exact variance")
    axes[0, 0].axhline(gaussian.entropy(), color="grey", linewidth=1, label="-E log p(x_0)")
    axes[0, 0].set(xlabel="T", ylabel="nats", xscale="log")
    axes[0, 0].legend(fontsize=6, bbox_to_anchor=(1, 1), loc="upper left")
    return figure
