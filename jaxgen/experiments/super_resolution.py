"""Super-resolution: a diffusion model draws the detail that a reduced photograph has lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import ddpm, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import space
from jaxgen.ddpm.sampler import noise
from jaxgen.experiments import _ddpm, _restoration
from jaxgen.experiments import _super_resolution as shared
from jaxgen.experiments._restoration import Restore
from jaxgen.paths.tiles import tiled
from jaxgen.runs import Experiment, pictures


@dataclass(frozen=True)
class Config(shared.Config):
    """Settings of super_resolution."""

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def restore_for(self, model: GenerativeModel, spec: Spec) -> Restore:
        @partial(jax.jit, static_argnames="num")
        def restore(key: PRNGKey, variables: Any, enlarged: Array, factor: Any, first: Any, num: int) -> Array:
            index = first + jnp.arange(num, dtype=jnp.int32)
            given = {
                "low": jnp.broadcast_to(enlarged[None, ..., None], (num, *enlarged.shape, 1)),
                "factor": jnp.full(num, factor, jnp.int32),
            }

            def eps_hat(x_t: Array, t: Array, condition: Mapping[str, Array]) -> Array:
                return model.parts.bind(variables, condition=condition)(x_t, t).eps_hat

            denoise = tiled(eps_hat, spec.event_shape[:-1], self.overlap, given)
            x_T = noise(key, index, (*enlarged.shape, 1))
            x = self.sampler(key, denoise, model.parts.schedule, x_T, index=index)
            return space.from_model(x, spec)[..., 0]

        return restore

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        restore = self.restore_for(model, dataset.spec)
        low, factor = (dataset.test.fields[name] for name in ("low", "factor"))
        one = {"low": low[0], "factor": int(factor[0])}
        given = {"low": low[:16], "factor": factor[:16]}
        numbers = {"sample": 1, **{f"mean_of_{k}": k for k in _restoration.powers(self.samples) if k > 1}}

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _ddpm.estimates(model, dataset)(key, variables, split)
            if split is dataset.test:
                found |= shared.report(self, restore, key, variables, numbers)
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            """Patches: the detail that was lost, and samples of it."""
            num = len(given["low"])
            drawn = {
                f"residual, sample {k} of each": model.sample(
                    jax.random.fold_in(key, k), state.variables, num, condition=given, sampler=self.sampler
                )
                for k in range(2)
            }
            groups = {"residual (in grey levels)": dataset.test.x[:num], **drawn}
            title = f"{dataset.name} after {int(state.step)} steps: detail that was lost, and drawn"
            return plot.rows(groups, title=title, columns=16, cmap="gray")

        def restored(key: PRNGKey, state: Any) -> Any:
            def seen(x: np.ndarray) -> dict[str, np.ndarray]:
                return {"sample 0": x[0], **({f"mean of {len(x)}": x.mean(axis=0)} if len(x) > 1 else {})}

            return shared.compared(self, restore, key, state, self.samples, seen)

        def trade_off(key: PRNGKey, state: Any) -> Any:
            """Distortion and perception of the mean of k samples of one picture."""
            name, y = shared.shown(self)
            lines = {}
            for factor in self.factor:
                original, base, x = _restoration.restored(
                    restore, key, state.variables, y, factor, self.size, self.overlap, self.samples
                )
                found = [_restoration.judged(x[:k].mean(axis=0), original, factor) for k in _restoration.powers(len(x))]
                bicubic = _restoration.judged(base.astype(np.float64), original, factor)
                lines[f"x {factor}: k = 1 .. {len(x)} samples"] = (
                    np.array([each["psnr"] for each in found]),
                    np.array([each["spectral_distance"] for each in found]),
                )
                lines[f"x {factor}: bicubic"] = (
                    np.array([bicubic["psnr"]]),
                    np.array([bicubic["spectral_distance"]]),
                )
            return plot.lines(
                {"mean of k samples, k = 1, 2, 4, ...": lines},
                title=f"perception and distortion on {name} after {int(state.step)} steps",
                x_label="PSNR in dB (right is better)",
                y_label="spectral distance in dB (down is better)",
            )

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_ddpm.estimates(model, dataset),
            picture=picture,
            samples=lambda x, title: pictures.examples({"": x}, dataset.spec, title=title),
            report=report,
            sampling={"condition": one, "sampler": self.sampler},
            pictures={"restored": restored, "perception_distortion": trade_off},
        )
