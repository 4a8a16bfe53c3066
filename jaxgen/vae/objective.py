"""The VAE's objective, from the lecture's integral to the loss that is minimised.

The likelihood of the data, P(X) = integral P(X|z) P(z) dz, cannot be computed. For any Q(z),

    log P(X) - KL[Q(z) || P(z|X)] = E_{z~Q} log P(X|z) - KL[Q(z) || P(z)]

and since the divergence on the left is never negative, the right side is a lower bound of log P(X): the ELBO. Its
negative, distortion + rate, is minimised. (The lecture prints one step of the derivation with the underbrace
-KL[Q || P(z)] on E[-log Q + log P(X|z)]; the term that makes the divergence is E[-log Q + log P(z)].)

Everything here is a pure function of arrays with one value per example.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.distributions import normal_log_prob, standard_normal_kl
from jaxgen.events import require_equal_shapes, require_floats, require_per_example, require_rank, require_shape


def negative_elbo(
    log_likelihood: Float[Array, " b"],
    mu: Float[Array, "b z"],
    log_var: Float[Array, "b z"],
    beta: float | Float[Array, ""] = 1.0,
) -> Float[Array, " b"]:
    """The negative evidence lower bound for Q(z|X) = N(mu, diag exp log_var) and P(z) = N(0, I).

        -ELBO = -log P(X | z) + beta KL[Q(z|X) || P(z)],     z = mu + exp(log_var / 2) eps
                 distortion           rate

    With beta = 1 its mean over eps bounds -log P(X) from above.

    Args:
        log_likelihood: log P(X|z) at a reparameterised draw z, nats. Its gradient reaches mu and log_var through
            z: moving the gradient inside E_{z~Q} without reparameterising, as the lecture prints it, loses it.
        mu: Mean of Q.
        log_var: Log-variance of Q.
        beta: Weight of the rate.

    Returns:
        One bound per example, in nats.

    Source: lecture, "VAE Objective Function" and "Reparameterization Trick"; Kingma & Welling 2014, eq. 10.
    """
    rate = standard_normal_kl(mu, log_var)
    require_per_example(log_likelihood=log_likelihood, rate=rate)
    _require_weight(beta)
    return -log_likelihood + beta * rate


def path_negative_elbo(
    log_likelihood: Float[Array, " b"],
    z: Float[Array, "b z"],
    mu: Float[Array, "b z"],
    log_var: Float[Array, "b z"],
    beta: float | Float[Array, ""] = 1.0,
) -> Float[Array, " b"]:
    """The negative ELBO from the draw alone, with a gradient that loses its noise as Q becomes the posterior.

        -ELBO = -log P(X|z) + beta (log Q(z|X) - log P(z)),     z = mu + exp(log_var / 2) eps

    Its gradient reaches mu and log_var through z only. The part left out, the gradient of log Q(z|X) with z held
    fixed, is the score, whose mean is zero: the mean of the gradient is that of `negative_elbo`. Where Q is the
    exact posterior, log P(X, z) - log Q(z|X) is constant in z, and the gradient is zero for every draw.

    Args:
        log_likelihood: log P(X|z) at the draw z, nats.
        z: A reparameterised draw of Q.
        mu: Mean of Q.
        log_var: Log-variance of Q.
        beta: Weight of the rate.

    Returns:
        One estimate of the bound per example, in nats.

    Source: Roeder, Wu & Duvenaud 2017, eq. 4 and 8; lecture, "Reparameterization Trick".
    """
    require_floats(z=z, mu=mu, log_var=log_var)
    require_shape(z.shape, mu=mu, log_var=log_var)
    require_per_example(log_likelihood=log_likelihood)
    require_shape(z.shape[:1], log_likelihood=log_likelihood)
    _require_weight(beta)
    log_q = normal_log_prob(z, jax.lax.stop_gradient(mu), jax.lax.stop_gradient(log_var))
    log_prior = normal_log_prob(z, jnp.zeros_like(z), jnp.zeros((), z.dtype))
    return -log_likelihood + beta * (log_q - log_prior)


def monte_carlo_log_likelihood(log_likelihood: Float[Array, "n b"]) -> Float[Array, " b"]:
    """The lecture's first estimate of log P(X), from draws of the prior.

        P(X) ~ 1/N sum_i P(X | z_i),     z_i ~ P(z)

    (The lecture prints P(Z|z_i).) The mean of the estimate of P(X) is right, but for most z_i P(X|z_i) is nearly
    zero, so that N must be very large; its logarithm is too small on average (Jensen).

    Args:
        log_likelihood: log P(X | z_i), nats.

    Returns:
        One estimate of log P(X) per example, in nats.

    Source: lecture, "How to deal with the integral over z?".
    """
    _require_draws(log_likelihood=log_likelihood)
    return logsumexp(log_likelihood, axis=0) - math.log(log_likelihood.shape[0])


def importance_weighted_bound(
    log_likelihood: Float[Array, "k b"], log_prior: Float[Array, "k b"], log_q: Float[Array, "k b"]
) -> Float[Array, " b"]:
    """A lower bound of log P(X) from k draws of Q(z|X), tight as k grows.

        L_k = log 1/k sum_i P(X | z_i) P(z_i) / Q(z_i | X),     z_i ~ Q(z|X)

    E L_1 is the ELBO, and E L_k <= E L_{k+1} <= log P(X). The lecture's E_{z~Q} P(X|z) alone is not an
    estimate of P(X); weighting each draw makes it one.

    Args:
        log_likelihood: log P(X | z_i), nats.
        log_prior: log P(z_i), nats.
        log_q: log Q(z_i | X), nats.

    Returns:
        One bound per example, in nats.

    Source: lecture, "How to deal with the integral over z?"; Burda et al. 2016, eq. 8.
    """
    _require_draws(log_likelihood=log_likelihood, log_prior=log_prior, log_q=log_q)
    log_weights = log_likelihood + log_prior - log_q
    return logsumexp(log_weights, axis=0) - jnp.log(jnp.float32(log_weights.shape[0]))


def active_units(mu: Float[Array, "n z"], threshold: float = 0.01) -> Bool[Array, " z"]:
    """Latent dimensions that the encoder uses: those whose mean varies over the data.

        A_u = Var_x E_{z~Q(z|x)}[z_u] > threshold

    Args:
        mu: Mean of Q(z|X) over a data set.
        threshold: Smallest variance of a unit in use.

    Source: Burda et al. 2016, section 5.
    """
    require_floats(mu=mu)
    require_rank(2, "[n, z]", mu=mu)
    require.number("threshold", threshold, 0)
    return mu.var(axis=0) > threshold


def _require_draws(**arrays: Array) -> None:
    """Raise unless all are floats [k, b] of one shape: log-weights of k draws, at least one."""
    require_floats(**arrays)
    require_rank(2, "[k, b]", **arrays)
    require_equal_shapes(**arrays)
    for name, array in arrays.items():
        if array.shape[0] < 1:
            raise ValueError(f"{name} must hold at least one draw, [k, b], got {array.shape}")


def _require_weight(beta: Any) -> None:
    """Raise unless beta is a number or a scalar array; the ELBO has one weight for all examples."""
    if hasattr(beta, "shape"):
        require_floats(beta=beta)
        require_shape((), beta=beta)
    else:
        require.number("beta", beta)
