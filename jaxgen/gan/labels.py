"""Labels that are known of few examples, in a game: D is a classifier, and G matches features.

A classifier of K classes with logits l_k says of x which class it is; that it is real is said by the same logits,

    Z(x) = sum_k exp l_k(x),     D(x) = Z(x) / (Z(x) + 1)

so that log Z is the logit of D. It is K + 1 classes, of which the last, "generated", has the logit 0. Labelled examples
teach it the classes, all other examples and the generator's that the former are real and the latter are not.

Everything here is a pure function of arrays.
"""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from jaxgen.events import require_floats, require_rank, require_shape


def real_logit(logits: Float[Array, "b k"]) -> Float[Array, " b"]:
    """The logit of D(x) that the logits of the classes imply.

        log Z(x) = log sum_k exp l_k(x),     D(x) = sigmoid(log Z(x)) = Z / (Z + 1)

    Args:
        logits: One logit per example and class.

    Source: Salimans et al. 2016, section 5.
    """
    require_floats(logits=logits)
    require_rank(2, "[b, k]", logits=logits)
    return logsumexp(logits, axis=1)


def feature_matching_loss(real: Float[Array, "b f"], fake: Float[Array, "c f"]) -> Float[Array, ""]:
    """G's loss: the squared distance of the mean features of samples from those of data.

        || E_x f(x) - E_z f(G(z)) ||^2

    It is one number for both batches, not a mean over examples, and 0 for any G with the data's mean features.

    Args:
        real: Features of data, of a layer of the discriminator.
        fake: Features of samples.

    Source: Salimans et al. 2016, section 3.1.
    """
    require_floats(real=real, fake=fake)
    require_rank(2, "[b, f]", real=real, fake=fake)
    require_shape((len(fake), *real.shape[1:]), fake=fake)
    return jnp.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
