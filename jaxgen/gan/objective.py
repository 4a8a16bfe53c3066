"""The GAN's objective: a game of two networks over one value, and what its optimum is worth.

D(x) is the probability that x came from the data p_d rather than from the generator's p_g. Both players look at

    V(D, G) = E_{x~p_d} log D(x) + E_{z~p_z} log(1 - D(G(z))),     min_G max_D V(D, G)

For a fixed G the integrand p_d log D + p_g log(1 - D) is concave in D(x), with its maximum at

    D*(x) = p_d(x) / (p_d(x) + p_g(x))

Put back into V, with the mixture p_m = (p_d + p_g) / 2, this leaves for the generator

    V(D*, G) = E_{p_d} log p_d / (2 p_m) + E_{p_g} log p_g / (2 p_m) = -2 log 2 + KL(p_d || p_m) + KL(p_g || p_m)
             = 2 JSD(p_d, p_g) - log 4,     at least -log 4, and that only where p_g = p_d

(The lecture prints log 2 p_d / p_m and log 2 p_g / p_m, hence +2 log 2 + KL + KL, which does not lead to its last line,
the correct one. It also says that the optimal generator is found "by maximizing"; G minimises V.)

Functions take logits, before the sigmoid, D = sigmoid(logit), so that a logarithm is finite for any D. Everything
here is a pure function of arrays; a loss has one value per example. Shapes that differ and arrays of
integers or bools raise a ValueError; values go unchecked.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import xlog1py, xlogy
from jaxtyping import Array, Float

from jaxgen.events import require_equal_shapes, require_floats, require_per_example, require_shape

# The game


def value(logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """The value of the game, which D maximises and G minimises; its mean estimates V(D, G).

        log D(x_i) + log(1 - D(G(z_i)))

    Args:
        logits_real: Logits of D at data x_i.
        logits_fake: Logits of D at samples G(z_i).

    Returns:
        One value per pair, in nats, at most 0.

    Source: lecture, "What is our training objective?"; Goodfellow et al. 2014, eq. 1.
    """
    require_per_example(logits_real=logits_real, logits_fake=logits_fake)
    return jax.nn.log_sigmoid(logits_real) + jax.nn.log_sigmoid(-logits_fake)


def discriminator_loss(logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """D's loss: the negative of `value`, the summed cross-entropies of a classifier of real and fake.

        -log D(x_i) - log(1 - D(G(z_i)))

    Args:
        logits_real: Logits of D at data.
        logits_fake: Logits of D at samples.

    Returns:
        One loss per pair, in nats.

    Source: lecture, "What should the discriminator do?"; Goodfellow et al. 2014, algorithm 1.
    """
    return -value(logits_real, logits_fake)


def minimax_generator_loss(logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """G's loss in the lecture's game: the term of V that depends on G.

        log(1 - D(G(z_i))),     slope -D in the logit

    The slope vanishes where D rejects a sample with confidence, which is where G has most to learn: with an
    overtrained D there is no feedback. Libraries often call `non_saturating_generator_loss` by this name.

    Args:
        logits_fake: Logits of D at samples.

    Returns:
        One loss per sample, in nats, at most 0.

    Source: lecture, "What should the generator do?"; Goodfellow et al. 2014, algorithm 1.
    """
    require_per_example(logits_fake=logits_fake)
    return jax.nn.log_sigmoid(-logits_fake)


def non_saturating_generator_loss(logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """G's loss in practice, in place of its term of V.

        -log D(G(z_i)),     slope -(1 - D) in the logit

    The lecture's "log D(x) should be maximized" for x = G(z). It pushes the same way as the minimax loss and rests at
    the same point, p_g = p_d with D = 1/2 everywhere, but pushes hardest where D rejects a sample. It is not a
    term of V, so the players no longer share one value.

    Args:
        logits_fake: Logits of D at samples.

    Returns:
        One loss per sample, in nats, at least 0.

    Source: lecture, "What should the generator do?"; Goodfellow et al. 2014, section 3.
    """
    require_per_example(logits_fake=logits_fake)
    return -jax.nn.log_sigmoid(logits_fake)


# The optimum


def value_density(
    p_data: Float[Array, "*shape"], p_model: Float[Array, "*shape"], d: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """The integrand of V for fixed G: concave in d = D(x), largest at `optimal_discriminator`.

        p_d log d + p_g log(1 - d),     0 log 0 = 0

    Args:
        p_data: Density or probability p_d(x).
        p_model: Density or probability p_g(x).
        d: D(x), a probability.

    Returns:
        Nats times the unit of the densities; -inf where D gives probability 0 to a case that occurs.

    Source: lecture, "What Does the Optimal Discriminator Look Like?"; Goodfellow et al. 2014, proposition 1.
    """
    require_floats(p_data=p_data, p_model=p_model, d=d)
    require_equal_shapes(p_data=p_data, p_model=p_model, d=d)
    # 0 log 1 in place of 0 log 0: the same value, but no NaN in gradients.
    real = xlogy(p_data, jnp.where((p_data == 0) & (d == 0), 1, d))
    return real + xlog1py(p_model, -jnp.where((p_model == 0) & (d == 1), 0, d))


def optimal_discriminator(p_data: Float[Array, "*shape"], p_model: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The D that maximises V for a fixed G.

        D*(x) = p_d(x) / (p_d(x) + p_g(x))

    Where neither density has mass, V does not depend on D, and D* is 1/2. `optimal_logits` tells apart densities that
    underflow to 0.

    Args:
        p_data: Density or probability p_d(x).
        p_model: Density or probability p_g(x), in the same measure.

    Returns:
        Probabilities that x is data.

    Source: lecture, "What Does the Optimal Discriminator Look Like?"; Goodfellow et al. 2014, eq. 2.
    """
    require_floats(p_data=p_data, p_model=p_model)
    require_equal_shapes(p_data=p_data, p_model=p_model)
    # D* does not depend on the densities' scale, but the squares of their sums in its slopes may underflow.
    scale = jax.lax.stop_gradient(jnp.maximum(p_data, p_model))
    real, fake = (p / jnp.where(scale == 0, 1, scale) for p in (p_data, p_model))
    return jnp.where(scale == 0, 0.5, real / jnp.where(scale == 0, 1, real + fake))


def optimal_logits(log_p_data: Float[Array, "*shape"], log_p_model: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The logits of the optimal discriminator, from log-densities.

        log D*(x) / (1 - D*(x)) = log p_d(x) - log p_g(x)

    0 where both are -inf, as in `optimal_discriminator`.

    Args:
        log_p_data: log p_d(x), nats.
        log_p_model: log p_g(x), nats.

    Returns:
        Logits of D*.

    Source: lecture, "What Does the Optimal Discriminator Look Like?"; Goodfellow et al. 2014, eq. 2.
    """
    require_floats(log_p_data=log_p_data, log_p_model=log_p_model)
    require_equal_shapes(log_p_data=log_p_data, log_p_model=log_p_model)
    neither = (log_p_data == -jnp.inf) & (log_p_model == -jnp.inf)
    return jnp.where(neither, 0, log_p_data) - jnp.where(neither, 0, log_p_model)


def optimal_value(
    p_data: Float[Array, "*b n"], p_model: Float[Array, "*b n"], weights: Float[Array, " n"] | None = None
) -> Float[Array, "*b"]:
    """The value of the game at the optimal discriminator, which is left for G to minimise.

        V(D*, G) = sum_x w(x) [p_d log p_d / (p_d + p_g) + p_g log p_g / (p_d + p_g)] = 2 JSD(p_d, p_g) - log 4

    with 0 log 0 = 0. It lies between -log 4, where p_g = p_d, and 0, where they do not overlap.

    Args:
        p_data: p_d along the last axis: probabilities, or a density at the points of a quadrature.
        p_model: p_g at the same points.
        weights: Weights of the quadrature; None for probabilities.

    Returns:
        One value per vector, in nats. The gradient treats a probability of exactly 0 as fixed.

    Source: lecture, "Recognizing Jensen-Shannon Divergence"; Goodfellow et al. 2014, theorem 1.
    """
    require_floats(p_data=p_data, p_model=p_model)
    require_equal_shapes(p_data=p_data, p_model=p_model)
    if weights is not None:
        require_floats(weights=weights)
        require_shape(p_data.shape[-1:], weights=weights)
    terms = _optimal_value_density(p_data, p_model)
    return jnp.sum(terms if weights is None else terms * jnp.broadcast_to(weights, terms.shape), -1)


# Beyond the lecture: other losses


def least_squares_discriminator_loss(
    logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]
) -> Float[Array, " b"]:
    """(D(x_i) - 1)^2 / 2 + D(G(z_i))^2 / 2, where D is the logit itself: 1 for data, 0 for samples.

    Source: Mao et al. 2017, eq. 2 with a = 0, b = 1.
    """
    require_per_example(logits_real=logits_real, logits_fake=logits_fake)
    return _half_square(logits_real - 1) + _half_square(logits_fake)


def least_squares_generator_loss(logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """(D(G(z_i)) - 1)^2 / 2, where D is the logit itself.

    Source: Mao et al. 2017, eq. 2 with c = 1.
    """
    require_per_example(logits_fake=logits_fake)
    return _half_square(logits_fake - 1)


def hinge_discriminator_loss(logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """max(0, 1 - l(x_i)) + max(0, 1 + l(G(z_i))), l the logit: an example right by a margin of 1 no longer counts.

    Source: Lim & Ye 2017; Miyato et al. 2018, eq. 16.
    """
    require_per_example(logits_real=logits_real, logits_fake=logits_fake)
    return jax.nn.relu(1 - logits_real) + jax.nn.relu(1 + logits_fake)


def hinge_generator_loss(logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """-l(G(z_i)), l the logit.

    Source: Lim & Ye 2017; Miyato et al. 2018, eq. 17.
    """
    require_per_example(logits_fake=logits_fake)
    return -logits_fake


def wasserstein_discriminator_loss(
    logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]
) -> Float[Array, " b"]:
    """l(G(z_i)) - l(x_i): over 1-Lipschitz l, the least mean is minus the Wasserstein-1 distance of p_d and p_g.

    Source: Arjovsky, Chintala & Bottou 2017, eq. 2 and algorithm 1.
    """
    require_per_example(logits_real=logits_real, logits_fake=logits_fake)
    return logits_fake - logits_real


def wasserstein_generator_loss(logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """-l(G(z_i)), l the logit.

    Source: Arjovsky, Chintala & Bottou 2017, algorithm 1.
    """
    require_per_example(logits_fake=logits_fake)
    return -logits_fake


def relativistic_discriminator_loss(
    logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]
) -> Float[Array, " b"]:
    """-log sigmoid(l(x_i) - l(G(z_i))), l the logit: each sample is compared with one example of the data.

    Its optimum is log p_d - log p_g as in the lecture's game, but up to a constant.

    Source: Jolicoeur-Martineau 2019, RSGAN; Huang et al. 2024 (R3GAN), eq. 2.
    """
    require_per_example(logits_real=logits_real, logits_fake=logits_fake)
    return jax.nn.softplus(logits_fake - logits_real)


def relativistic_generator_loss(logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
    """-log sigmoid(l(G(z_i)) - l(x_i)), l the logit: non-saturating, with the players' parts exchanged.

    Source: Jolicoeur-Martineau 2019, RSGAN; Huang et al. 2024 (R3GAN).
    """
    return relativistic_discriminator_loss(logits_fake, logits_real)


def _half_square(x: Array) -> Array:
    return (0.5 * x) * x  # x * x alone may overflow


@jax.custom_jvp
def _log_share(p: Array, q: Array) -> Array:
    """log(p / (p + q)) for p > 0, without loss of digits where p >> q, nor underflow where p << q."""
    share, tiny = p / (p + q), jnp.finfo(p.dtype).tiny
    small = jnp.where(share > tiny, jnp.log(share), jnp.log(p) - jnp.log(p + q))
    return jnp.where(p >= q, -jnp.log1p(q / jnp.maximum(p, q)), small)


_log_share.defjvps(lambda p_dot, _, p, q: q / (p + q) / p * p_dot, lambda q_dot, _, p, q: -q_dot / (p + q))


@jax.custom_jvp
def _optimal_value_density(p: Array, q: Array) -> Array:
    """`value_density` at D*."""
    return p * _log_share(jnp.where(p == 0, 1, p), q) + q * _log_share(jnp.where(q == 0, 1, q), p)


@_optimal_value_density.defjvp
def _(primals, tangents):
    # D* maximises the density, so its own change with p and q adds nothing to the slope.
    (p, q), (p_dot, q_dot) = primals, tangents
    slope_p = jnp.where(p == 0, 0, _log_share(jnp.where(p == 0, 1, p), q))
    slope_q = jnp.where(q == 0, 0, _log_share(jnp.where(q == 0, 1, q), p))
    return _optimal_value_density(p, q), slope_p * p_dot + slope_q * q_dot
