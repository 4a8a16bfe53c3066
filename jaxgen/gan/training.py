"""The losses of training: what each player minimises, with the networks in place of the logits of `losses`.

    discriminator    loss of D(T(x)) and D(T(G(z))), plus a penalty on its slope
    generator        loss of D(T(G(z)))

T is the augmentation, if there is one. Data and samples of a pair have the same condition, from which the same is
withheld.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import Aux, Batch, PRNGKey, Spec, Variables
from jaxgen.gan.config import Config
from jaxgen.gan.game import Losses
from jaxgen.gan.monitor import diversity
from jaxgen.gan.objective import value
from jaxgen.gan.players import Forms, Players
from jaxgen.nn import Concat, condition_inputs

# Folded into a key for draws that came later than others, which keep the keys that they had.
_WITHHELD, _NOISE = 2**32 - 1, 2**32 - 2


def losses(config: Config, spec: Spec, players: Players, rows: Callable[[Batch], Mapping[str, Array]]) -> Losses:
    """Build the losses of the two players.

    Args:
        config: Configuration of the GAN.
        spec: Description of the data.
        players: Networks with their conditions.
        rows: (batch) -> its fields, checked, with "x" in model space.
    """
    strength = config.penalty_schedule.schedule(1.0)
    images = [name for name, condition in sorted(players.conditions.items()) if isinstance(condition, Concat)]

    def seen(key: PRNGKey, batch: Batch) -> tuple[Array, Forms]:
        """Data, and their conditions, some withheld."""
        fields = rows(batch)
        key = jax.random.fold_in(key, _WITHHELD)
        return fields["x"], condition_inputs.for_training(key, players.conditions, spec, fields, len(fields["x"]))

    def generated(variables: Variables, key: PRNGKey, forms: Forms, num: int, learn: bool) -> tuple[Array, Any]:
        """G(z) in training, and the collections that it changed."""
        z = config.prior(key, (num, config.latent_dim))
        noise = jax.random.fold_in(key, _NOISE)
        return players.generator.apply(variables, z, forms, train=True, key=noise, learn=learn)

    def disturbed(key: PRNGKey, x: Array, forms: Forms) -> tuple[Array, Forms]:
        """T(x), with the conditions that are images moved and cut as x is; their flags for "withheld" stay."""
        x, *moved = config.augmentation.aligned(key, x, *(forms[name][..., :-1] for name in images))
        whole = [jnp.concatenate([m, forms[name][..., -1:]], axis=-1) for name, m in zip(images, moved, strict=True)]
        return x, {**forms, **dict(zip(images, whole, strict=True))}

    def judged(
        variables: Variables, key: PRNGKey, x: Array, forms: Forms, learn: bool = False
    ) -> tuple[Array, Mapping[str, Any]]:
        """Logits of D(T(x)), and the collections that it changed; only the discriminator's own update changes them."""
        key_augmentation, key_dropout = jax.random.split(key)
        if config.augmentation:
            x, forms = disturbed(key_augmentation, x, forms)
        return players.discriminator.apply(variables, x, forms, train=True, key=key_dropout, learn=learn)

    def discriminator_loss(
        variables: Variables, key: PRNGKey, batch: Batch, step: Any
    ) -> tuple[Float[Array, " b"], Aux]:
        x_real, forms = seen(key, batch)
        key_z, key_loss = jax.random.split(key)
        key_judge, key_penalty, key_disturb = jax.random.split(key_loss, 3)
        x_fake, _ = generated(variables["generator"], key_z, forms, x_real.shape[0], learn=False)
        own = variables["discriminator"]
        # Data and samples in one pass: one power iteration per update, and larger matrices.
        of_both = {name: paired(form, form) for name, form in forms.items()}
        logits, changed = judged(own, key_judge, paired(x_real, x_fake), of_both, learn=True)
        logits_real, logits_fake = logits.reshape(-1, 2).T
        losses_ = config.loss.discriminator(logits_real, logits_fake)

        def discriminate(x: Array) -> Array:
            # With the variables after the power iteration, as for the logits above.
            return judged({**own, **changed}, key_disturb, x, forms)[0]

        weight = strength(jnp.asarray(step).astype(jnp.float32))
        penalty = weight * config.penalty(key_penalty, discriminate, x_real, x_fake)
        metrics = {
            "discriminator_loss": losses_,
            "penalty": penalty,
            "value": value(logits_real, logits_fake),
            "d_real": jax.nn.sigmoid(logits_real),
            "d_fake": jax.nn.sigmoid(logits_fake),
        }
        return losses_ + penalty, Aux(metrics, changed)

    def generator_loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        x_real, forms = seen(key, batch)
        key_z, key_real, key_fake = jax.random.split(key, 3)
        x_fake, changed = generated(variables["generator"], key_z, forms, x_real.shape[0], learn=True)
        logits_fake, _ = judged(variables["discriminator"], key_fake, x_fake, forms)
        logits_real = logits_fake
        if config.loss.paired:
            logits_real, _ = judged(variables["discriminator"], key_real, x_real, forms)
        losses_ = config.loss.generator(logits_real, logits_fake)
        return losses_, Aux({"generator_loss": losses_, "diversity": diversity(x_fake, x_real)}, changed)

    return Losses(discriminator_loss, generator_loss)


def paired(x: Array, y: Array) -> Array:
    """Two batches as one of twice the size, x_0, y_0, x_1, y_1, ...

    Devices that share the batch keep their own examples: one batch after the other would be divided among them anew.
    """
    return jnp.stack([x, y], axis=1).reshape(2 * x.shape[0], *x.shape[1:])
