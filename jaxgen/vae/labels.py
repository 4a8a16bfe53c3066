"""Labels that are known of few examples: the bounds of log p(x, y) and log p(x), y summed out where it is not known.

The label is a latent variable beside z, P(X, y) = P(y) integral P(X|z, y) P(z) dz. Where it is known, the ELBO given y
bounds log P(X, y); where it is not, Q(y|X), a classifier, is the posterior's guess, and

    log P(X) >= sum_y Q(y|X) (ELBO(X|y) + log P(y) - log Q(y|X))

with equality where both Q(y|X) and Q(z|X, y) are the posterior. No label is drawn: the sum is exact. A classifier that
learned from this alone would never see a label, so that its cross-entropy on the labelled examples is added
(`distributions.categorical_log_prob`; Kingma et al. 2014, eq. 9).

Everything here is a pure function of arrays with one value per example.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.events import (
    require_equal_shapes,
    require_floats,
    require_integers,
    require_per_example,
    require_rank,
    require_shape,
)


def labelled_bound(
    negative_elbo: Float[Array, " b"], log_prior: Float[Array, " k"], label: Int[Array, " b"]
) -> Float[Array, " b"]:
    """The bound of -log P(X, y) from above, for examples whose label is known.

        L(X, y) = -ELBO(X|y) - log P(y)

    Args:
        negative_elbo: -ELBO of log P(X|y) at the label.
        log_prior: log P(y) of all labels, nats.
        label: The labels.

    Returns:
        One bound per example, in nats.

    Source: Kingma et al. 2014, eq. 6.
    """
    require_per_example(negative_elbo=negative_elbo)
    require_floats(log_prior=log_prior)
    require_rank(1, "[k]", log_prior=log_prior)
    require_integers(label=label)
    require_shape(negative_elbo.shape, label=label)
    return negative_elbo - log_prior[label]


def summed_out_bound(
    negative_elbo: Float[Array, "b k"], log_prior: Float[Array, " k"], log_q: Float[Array, "b k"]
) -> Float[Array, " b"]:
    """The bound of -log P(X) from above, for examples whose label is not known.

        U(X) = sum_y Q(y|X) (L(X, y) + log Q(y|X)),     L(X, y) = -ELBO(X|y) - log P(y)

    Of all Q(y|X) the softmax of -L(X, y) has the smallest U.

    Args:
        negative_elbo: -ELBO of log P(X|y) for every label y.
        log_prior: log P(y), nats.
        log_q: log Q(y|X), nats; the probabilities of each example sum to 1, which is not checked. -inf is allowed.

    Returns:
        One bound per example, in nats.

    Source: Kingma et al. 2014, eq. 7.
    """
    require_floats(negative_elbo=negative_elbo, log_prior=log_prior, log_q=log_q)
    require_rank(2, "[b, k]", negative_elbo=negative_elbo, log_q=log_q)
    require_equal_shapes(negative_elbo=negative_elbo, log_q=log_q)
    require_shape(negative_elbo.shape[1:], log_prior=log_prior)
    possible = log_q > -jnp.inf
    finite = jnp.where(possible, log_q, 0.0)  # 0 log 0 = 0, and no NaN in the gradient
    return jnp.where(possible, jnp.exp(finite) * (negative_elbo - log_prior[None] + finite), 0.0).sum(axis=1)
