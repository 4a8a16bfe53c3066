"""Log-probabilities, divergences and the reparameterisation: the parts of the lecture's objectives.

    log P(X | z)                     normal_log_prob, bernoulli_log_prob, discretized_normal_log_prob
    KL of two Gaussians              multivariate_normal_kl, normal_kl; to N(0, I): standard_normal_kl
    KL and JS of p_d, p_g, p_m       kl_divergence, js_divergence, on probability vectors
    z = mu + Sigma^(1/2) eps         reparameterise, reparameterise_full; affine, where eps is given

Log-probabilities and Gaussian KLs are one value per example, in nats: they sum over all axes but the first.
Each function equals its float64 value wherever float32 can hold it, for log-variances in -30 .. 30, logits to
+-1e30 and means to +-1e15, and has no NaN gradient there; NaN in gives NaN out. No
value is refused, but data outside the support of a discrete distribution have the log-probability -inf. Shapes that
differ and arrays of integers or bools raise a ValueError; a log-variance may also be a scalar array, shared by all
dimensions.
"""

import math
from collections.abc import Sequence
from functools import reduce
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int, Key

from jaxgen import require
from jaxgen.events import flat, require_floats, require_integers, require_mask, require_rank, require_shape, sum_event

_Event: TypeAlias = Float[Array, "b *event"]
_EventOrScalar: TypeAlias = Float[Array, "b *event"] | Float[Array, ""]
_Mask: TypeAlias = Bool[Array, "b *event"]
_PerExample: TypeAlias = Float[Array, " b"]

_LOG_2PI = math.log(2 * math.pi)


def normal_log_prob(x: _Event, mu: _Event, log_var: _EventOrScalar, mask: _Mask | None = None) -> _PerExample:
    """Log-density of N(mu, diag exp log_var) at x.

        log N = -1/2 sum_i (log 2 pi + log_var_i + (x_i - mu_i)^2 exp(-log_var_i))

    Args:
        x: Points at which the density is taken.
        mu: Mean.
        log_var: Log-variance, natural log.
        mask: True where x is observed; the rest may be NaN and does not count.

    Returns:
        One log-density per example, in nats.

    Source: lecture, "Latent Variables" and "Key Concepts of VAEs"; Kingma & Welling 2014, appendix C.2.
    """
    require_floats(x=x, mu=mu, log_var=log_var)
    require_mask(x.shape, mask)
    require_shape(x.shape, mu=mu)
    require_shape(x.shape, (), log_var=log_var)
    x, mu, log_var, mask = flat(x, mu, log_var, mask)
    residual = x - mu
    if mask is not None:
        residual = jnp.where(mask, residual, 0)
    # Scaled, then squared: the square alone may overflow where its product with the precision does not.
    z = residual * jnp.exp(-0.5 * log_var)
    return sum_event(-0.5 * (_LOG_2PI + log_var) - (0.5 * z) * z, mask)


def categorical_log_prob(label: Int[Array, " b"], logits: Float[Array, "b k"]) -> _PerExample:
    """Log-probability of a label under a classifier; its negative is the cross-entropy.

        log P = l_y - log sum_k exp l_k

    Args:
        label: Labels y, 0 .. k - 1, unchecked.
        logits: l, one for each label.

    Returns:
        One log-probability per example, in nats.

    Source: beyond the lecture; Bishop 2006, eq. 4.104 and 4.108.
    """
    require_integers(label=label)
    require_floats(logits=logits)
    require_rank(2, "[b, k]", logits=logits)
    require_shape(logits.shape[:1], label=label)
    return jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)[:, 0]


def bernoulli_log_prob(x: _Event, logits: _Event, mask: _Mask | None = None) -> _PerExample:
    """Log-probability of x under independent Bernoulli variables with P(x_i = 1) = sigmoid(l_i).

        log P = sum_i (x_i log sigmoid(l_i) + (1 - x_i) log sigmoid(-l_i))
              = -sum_i (x_i max(-l_i, 0) + (1 - x_i) max(l_i, 0) + log(1 + exp(-|l_i|)))

    Args:
        x: Data in [0, 1]; strictly between, this is the negative cross-entropy. Outside, log P is -inf.
        logits: l, before the sigmoid.
        mask: True where x is observed; the rest may be NaN and does not count.

    Returns:
        One log-probability per example, in nats.

    Source: beyond the lecture, its P(X | z) for binary data; Kingma & Welling 2014, appendix C.1.
    """
    require_floats(x=x, logits=logits)
    require_mask(x.shape, mask)
    require_shape(x.shape, logits=logits)
    x, logits, mask = flat(x, logits, mask)
    if mask is not None:
        x = jnp.where(mask, x, 0)
    # One choice for both maxima and the absolute value, so that the slopes at l = 0 add up to x - sigmoid(0).
    positive = logits > 0
    wrong_side = jnp.where(positive, 1 - x, -x) * logits
    log_p = -(wrong_side + jnp.log1p(jnp.exp(jnp.where(positive, -logits, logits))))
    return sum_event(jnp.where((x < 0) | (x > 1), -jnp.inf, log_p), mask)


def discretized_normal_log_prob(
    x: _Event, mu: _Event, log_scale: _EventOrScalar, levels: int = 256, mask: _Mask | None = None
) -> _PerExample:
    """Log-probability that N(mu, diag exp(2 log_scale)) gives to the bins around grid points x of [-1, 1].

        log P = sum_i log(Phi((x_i + delta - mu_i) / s_i) - Phi((x_i - delta - mu_i) / s_i))
        delta = 1 / (levels - 1); the bin at -1 is open below, the bin at 1 is open above

    Args:
        x: Data on the grid -1 + 2 delta n, n = 0 .. levels - 1, up to float rounding. Off the grid, log P is -inf.
        mu: Mean, anywhere.
        log_scale: log s, natural log of the standard deviation.
        levels: Number of grid points.
        mask: True where x is observed; the rest may be NaN and does not count.

    Returns:
        One log-probability per example, in nats.

    Raises:
        ValueError: Fewer than two levels.

    Source: beyond the lecture, its p(x_0 | x_1) for grey levels; Ho et al. 2020, equation 13.
    """
    require_floats(x=x, mu=mu, log_scale=log_scale)
    require_mask(x.shape, mask)
    require_shape(x.shape, mu=mu)
    require_shape(x.shape, (), log_scale=log_scale)
    require.size("levels", levels, 2)
    x, mu, log_scale, mask = flat(x, mu, log_scale, mask)
    if mask is not None:
        x = jnp.where(mask, x, 0)
    delta = 1 / (levels - 1)
    precision = jnp.exp(-log_scale)
    lowest, highest = x < delta - 1, x > 1 - delta
    inner = ~(lowest | highest)

    # Mirrored so that the bin lies above the mean, an open bin upwards: P = Q(near) - Q(far), Q(t) = Phi(-t).
    distance = jnp.where(lowest | (inner & (x < mu)), mu - x, x - mu)
    distance = jnp.clip(distance, -1e25, 1e25)  # an infinite mean must not become inf - inf
    centre, width = distance * precision, 2 * delta * precision
    near, far = (distance - delta) * precision, (distance + delta) * precision

    # Narrow bins: density times width, to the next order of the series. A fifth of a standard deviation is
    # where it and the tails below are equally exact. Stand-ins on both sides keep NaN out of the gradient.
    narrow = inner & (width * jnp.maximum(centre, 1) < 0.2)
    c = jnp.where(narrow, centre, 0)
    density = math.log(2 * delta) - log_scale - 0.5 * (_LOG_2PI + c * c) + (c * c - 1) * width**2 / 24
    near = jnp.where(narrow, 1, near)
    far = jnp.where(narrow, 2, jnp.where(inner, far, 1e18))

    # Both edges above the mean: Q(near) (1 - Q(far) / Q(near)), whose ratio needs no difference of squares.
    above = near >= 0
    t = jnp.where(above, near, -near)
    log_mills_t, log_mills_far = _log_mills(t), _log_mills(far)
    log_q_t = log_mills_t - 0.5 * _LOG_2PI - (0.5 * t) * t
    log_q_far = log_mills_far - 0.5 * _LOG_2PI - (0.5 * far) * far
    log_ratio = jnp.where(inner & above, log_mills_far - log_mills_t - centre * width, -50)
    tail = log_q_t + jnp.log(-jnp.expm1(log_ratio))
    # The mean between the edges: 1 - Q(-near) - Q(far).
    around = jnp.log1p(-(jnp.exp(log_q_t) + jnp.exp(log_q_far)))
    place = (x + 1) * ((levels - 1) / 2)
    off_grid = (jnp.abs(place - jnp.round(place)) > 0.01) | (jnp.abs(x) > 1 + 0.01 * delta)
    log_p = jnp.where(narrow, density, jnp.where(above, tail, around))
    return sum_event(jnp.where(off_grid, -jnp.inf, log_p), mask)


def discretized_normal_probabilities(mu: _Event, log_scale: _EventOrScalar, levels: int = 256) -> Float[Array, "b ..."]:
    """Probabilities that N(mu, diag exp(2 log_scale)) gives to the bins around all grid points of [-1, 1].

        P_n = Phi((x_n + delta - mu) / s) - Phi((x_n - delta - mu) / s),   x_n = -1 + 2 delta n,   n = 0 .. levels - 1
        delta = 1 / (levels - 1); the bin at -1 is open below, the bin at 1 is open above

    As differences, they are exact to 1e-7 absolutely: right for an entropy coder, whose probabilities are no finer. For
    the logarithm of one of them take `discretized_normal_log_prob`.

    Args:
        mu: Mean, anywhere.
        log_scale: log s, natural log of the standard deviation.
        levels: Number of grid points.

    Returns:
        [B, *event, levels], which sum to 1 along the last axis.

    Raises:
        ValueError: Fewer than two levels.

    Source: beyond the lecture, its p(x_0 | x_1) for grey levels; Ho et al. 2020, equation 13.
    """
    require_floats(mu=mu, log_scale=log_scale)
    require_shape(mu.shape, (), log_scale=log_scale)
    require.size("levels", levels, 2)
    edges = (2 * jnp.arange(levels - 1, dtype=mu.dtype) + 1) / (levels - 1) - 1
    distance = edges.reshape((1,) * mu.ndim + (-1,)) - mu[..., None]
    below = jax.scipy.stats.norm.cdf(distance * jnp.exp(-jnp.broadcast_to(log_scale, mu.shape))[..., None])
    ends = [jnp.zeros_like(below[..., :1]), below, jnp.ones_like(below[..., :1])]
    return jnp.diff(jnp.concatenate(ends, axis=-1), axis=-1)


def standard_normal_kl(mu: _Event, log_var: _EventOrScalar) -> _PerExample:
    """KL(q || p) of q = N(mu, diag exp log_var) from p = N(0, I).

        KL = 1/2 sum_i (exp log_var_i + mu_i^2 - 1 - log_var_i)

    Args:
        mu: Mean of q.
        log_var: Log-variance of q, natural log.

    Returns:
        One KL per example, in nats.

    Source: lecture, "Optimization"; Kingma & Welling 2014, appendix B.
    """
    require_floats(mu=mu, log_var=log_var)
    require_shape(mu.shape, (), log_var=log_var)
    mu, log_var = flat(mu, log_var)
    return 0.5 * sum_event(mu * mu + _exp_remainder(log_var))


def normal_kl(mu_0: _Event, log_var_0: _EventOrScalar, mu_1: _Event, log_var_1: _EventOrScalar) -> _PerExample:
    """KL(N_0 || N_1) of Gaussians with the diagonal covariances exp log_var_0 and exp log_var_1.

        KL = 1/2 sum_i (exp d_i - 1 - d_i + (mu_0i - mu_1i)^2 exp(-log_var_1i)),  d = log_var_0 - log_var_1

    Args:
        mu_0: Mean of N_0, the distribution that is averaged over.
        log_var_0: Log-variance of N_0, natural log.
        mu_1: Mean of N_1.
        log_var_1: Log-variance of N_1, natural log.

    Returns:
        One KL per example, in nats.

    Source: lecture, "Optimization", for diagonal covariances.
    """
    require_floats(mu_0=mu_0, log_var_0=log_var_0, mu_1=mu_1, log_var_1=log_var_1)
    require_shape(mu_0.shape, mu_1=mu_1)
    require_shape(mu_0.shape, (), log_var_0=log_var_0, log_var_1=log_var_1)
    mu_0, log_var_0, mu_1, log_var_1 = flat(mu_0, log_var_0, mu_1, log_var_1)
    z = (mu_0 - mu_1) * jnp.exp(-0.5 * log_var_1)
    return 0.5 * sum_event(z * z + _exp_remainder(log_var_0 - log_var_1))


def multivariate_normal_kl(
    mu_0: Float[Array, "b k"],
    cov_0: Float[Array, "b k k"],
    mu_1: Float[Array, "b k"],
    cov_1: Float[Array, "b k k"],
) -> _PerExample:
    """KL(N_0 || N_1) of Gaussians with full covariances.

        KL = 1/2 (tr(cov_1^-1 cov_0) + (mu_1 - mu_0)^T cov_1^-1 (mu_1 - mu_0) - k + log det cov_1 / det cov_0)

    Args:
        mu_0: Mean of N_0, the distribution that is averaged over.
        cov_0: Covariance of N_0. One that is not positive definite gives NaN.
        mu_1: Mean of N_1.
        cov_1: Covariance of N_1. One that is not positive definite gives NaN.

    Returns:
        One KL per example, in nats.

    Source: lecture, "Optimization"; Doersch 2016, equation 6.
    """
    require_floats(mu_0=mu_0, cov_0=cov_0, mu_1=mu_1, cov_1=cov_1)
    require_rank(2, "[b, k]", mu_0=mu_0)
    require_shape(mu_0.shape, mu_1=mu_1)
    require_shape((*mu_0.shape, mu_0.shape[-1]), cov_0=cov_0, cov_1=cov_1)
    root_0, root_1 = jnp.linalg.cholesky(cov_0), jnp.linalg.cholesky(cov_1)
    # A = root_1^-1 root_0 is triangular. Its squares sum to the trace, those on its diagonal multiply to the
    # ratio of determinants: the diagonal adds exp d - 1 - d with d = log A_ii^2.
    solved = solve_triangular(root_1, jnp.concatenate([root_0, (mu_0 - mu_1)[..., None]], -1), lower=True)
    a, z = solved[..., :-1], solved[..., -1]
    diagonal = _exp_remainder(2 * jnp.log(jnp.diagonal(a, axis1=-2, axis2=-1)))
    return 0.5 * (jnp.sum(diagonal + z * z, -1) + jnp.sum(jnp.tril(a, -1) ** 2, (-2, -1)))


def kl_divergence(p: Float[Array, "*b n"], q: Float[Array, "*b n"]) -> Float[Array, "*b"]:
    """KL(p || q) of probability vectors, summed as p log(p / q) - p + q, which is never negative.

        KL = sum_x p(x) log(p(x) / q(x)),  0 log 0 = 0,  +inf where q(x) = 0 < p(x)

    Args:
        p: Probabilities along the last axis, the distribution that is averaged over.
        q: Probabilities along the last axis.

    Returns:
        One KL per vector, in nats. The gradient takes a probability of exactly 0 as fixed.

    Source: lecture, "Recognizing Jensen-Shannon Divergence".
    """
    require_floats(p=p, q=q)
    require_shape(p.shape, q=q)
    return jnp.sum(_relative_entropy(p, q), -1)


def js_divergence(p: Float[Array, "*b n"], q: Float[Array, "*b n"]) -> Float[Array, "*b"]:
    """Jensen-Shannon divergence of probability vectors: symmetric, between 0 and log 2.

        JS = (KL(p || m) + KL(q || m)) / 2,  m = (p + q) / 2

    Args:
        p: Probabilities along the last axis.
        q: Probabilities along the last axis.

    Returns:
        One JS per vector, in nats. The gradient takes a probability of exactly 0 as fixed.

    Source: lecture, "Recognizing Jensen-Shannon Divergence"; Goodfellow et al. 2014, theorem 1.
    """
    require_floats(p=p, q=q)
    require_shape(p.shape, q=q)
    # Doubled throughout: m itself may underflow where p + q does not.
    return 0.25 * jnp.sum(_relative_entropy(2 * p, p + q) + _relative_entropy(2 * q, p + q), -1)


def affine(mu: _Event, log_var: _EventOrScalar, eps: _Event) -> _Event:
    """The reparameterisation as a function of its noise.

        z = mu + exp(log_var / 2) eps

    Args:
        mu: Mean.
        log_var: Log-variance, natural log.
        eps: Standard normal noise.

    Returns:
        z, one draw of N(mu, diag exp log_var) per example.

    Source: lecture, "Reparameterization Trick"; Kingma & Welling 2014, section 2.4.
    """
    require_floats(mu=mu, log_var=log_var, eps=eps)
    require_shape(mu.shape, eps=eps)
    require_shape(mu.shape, (), log_var=log_var)
    return mu + jnp.exp(0.5 * log_var) * eps


def reparameterise(key: Key[Array, ""], mu: _Event, log_var: _EventOrScalar) -> _Event:
    """A draw of N(mu, diag exp log_var) that is differentiable in mu and log_var.

        z = mu + exp(log_var / 2) eps,  eps ~ N(0, I)

    Args:
        key: Key of the draw of eps.
        mu: Mean.
        log_var: Log-variance, natural log.

    Returns:
        z, one draw per example.

    Source: lecture, "Reparameterization Trick"; Kingma & Welling 2014, section 2.4.
    """
    require_floats(mu=mu, log_var=log_var)
    return affine(mu, log_var, jax.random.normal(key, mu.shape, mu.dtype))


def reparameterise_full(
    key: Key[Array, ""], mu: Float[Array, "b k"], scale_tril: Float[Array, "b k k"]
) -> Float[Array, "b k"]:
    """A draw of N(mu, L L^T) that is differentiable in mu and L.

        z = mu + L eps,  eps ~ N(0, I)

    Args:
        key: Key of the draw of eps.
        mu: Mean.
        scale_tril: L, the Cholesky factor of the covariance.

    Returns:
        z, one draw per example.

    Source: lecture, "Reparameterization Trick", with L for Sigma^(1/2).
    """
    require_floats(mu=mu, scale_tril=scale_tril)
    require_rank(2, "[b, k]", mu=mu)
    require_shape((*mu.shape, mu.shape[-1]), scale_tril=scale_tril)
    eps = jax.random.normal(key, mu.shape, mu.dtype)
    # Full float32: by default, accelerators round the factors of a product.
    return mu + jnp.einsum("bij,bj->bi", scale_tril, eps, precision=jax.lax.Precision.HIGHEST)


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Horner's rule, highest power first."""
    return reduce(lambda value, coefficient: value * x + coefficient, coefficients, jnp.zeros_like(x))


@jax.custom_jvp
def _exp_remainder(d: Array) -> Array:
    """exp(d) - 1 - d, from its series where the difference would lose digits; its slope is expm1(d)."""
    series = d * d * _polynomial([1 / math.factorial(n) for n in range(9, 1, -1)], d)
    return jnp.where(jnp.abs(d) < 0.5, series, jnp.expm1(d) - d)


_exp_remainder.defjvps(lambda d_dot, _, d: jnp.expm1(d) * d_dot)


def _log_ratio(q: Array, p: Array) -> Array:
    """log(q / p), by log1p where the two are close."""
    change = (q - p) / p
    return jnp.where(jnp.abs(change) < 0.5, jnp.log1p(change), jnp.log(q / p))


@jax.custom_jvp
def _relative_entropy(p: Array, q: Array) -> Array:
    """p log(p / q) - p + q, elementwise; summed over probability vectors, -p + q cancels."""
    d = _log_ratio(q, p)
    terms = jnp.where(jnp.abs(d) < 0.5, p * _exp_remainder(d), q - p - p * d)
    return jnp.where(p == 0, q, terms)


@_relative_entropy.defjvp
def _(primals, tangents):
    (p, q), (p_dot, q_dot) = primals, tangents
    slope_p = jnp.where((p == 0) | (q == 0), 0, -_log_ratio(q, p))
    slope_q = jnp.where(q == 0, 0, 1 - p / q)
    return _relative_entropy(p, q), slope_p * p_dot + slope_q * q_dot


# Mills' ratio R(t) = Phi(-t) / phi(t), t >= 0: log R(t) = P(y) + log y, y = 1 / (1 + 0.3 t). P is the minimax
# fit of degree 10 on 0 <= y <= 1 to scipy.special.erfcx in float64; it is off by at most 2e-8.
_MILLS = (
    *(0.15849669, -0.80369004, 1.56267268, -1.39310215, 0.60178283, -0.29777378),
    *(0.04248656, 0.14863029, 0.41026692, 0.99999411, -1.20397278),
)


def _log_mills(t: Array) -> Array:
    return _polynomial(_MILLS, 1 / (1 + 0.3 * t)) - jnp.log1p(0.3 * t)
