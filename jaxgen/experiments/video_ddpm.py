"""Video: the next frame given the past ones, of balls that bounce by their equations of motion."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, ddpm, evaluate, nn, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, Split, bouncing_balls
from jaxgen.experiments import _ddpm
from jaxgen.optimizers import Adam, Cosine
from jaxgen.progress import counted
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, Settings

_BURN_IN = 10  # frames before the first one that is used, so that starts are forgotten


@dataclass(frozen=True)
class Config(Settings):
    """Settings of video_ddpm.

    Args:
        videos: Windows of `past` + 1 frames to learn from, each of a video of its own; 1,000 for validation and as many
            for testing besides.
        balls: Number of balls.
        size: Height and width of a frame.
        past: Frames that are given.
        rollouts: Videos that are continued at the end, each frame drawn given those drawn before.
        horizon: Frames of each continuation.
        samples: Samples whose mean is taken for the next frame.
        sampler: Way from noise to a frame.
        model: Configuration of the diffusion model.
    """

    at_hand = (*Settings.at_hand, "rollouts", "horizon", "samples", "sampler")

    videos: int = 20_000
    balls: int = 3
    size: int = 30
    past: int = 4
    rollouts: int = 100
    horizon: int = 20
    samples: int = 8
    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DPMSolver(10)
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(100),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=32, multipliers=(1, 2), attention=(), patch=2),
        condition={"past": nn.Concat(dropout=0.0)},
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
    )
    steps: int = 5000
    batch_size: int = 32
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        self.require(videos=1, balls=1, size=4, past=1, rollouts=1, horizon=1, samples=1)

    def clips(self, number: int, num: int, frames: int) -> np.ndarray:
        """Videos [num, frames, size, size] uint8, the same for the same seed and number."""
        key = jax.random.fold_in(jax.random.key(self.seed), number)
        places = np.asarray(bouncing_balls.trajectories(key, num, _BURN_IN + frames, self.balls))[:, _BURN_IN:]
        return np.concatenate(
            [bouncing_balls.rendered(some, self.size) for some in np.array_split(places, -(-num // 1000))]
        )

    def dataset(self) -> Dataset:
        """Windows: the last frame is modelled, those before it are given as channels of one picture."""

        def split(number: int, num: int) -> Split:
            frames = np.moveaxis(self.clips(number, num, self.past + 1), 1, -1)
            return Split(
                np.ascontiguousarray(frames[..., -1:]), fields={"past": np.ascontiguousarray(frames[..., :-1])}
            )

        few = min(1000, self.videos)
        train, valid, test = (split(i, num) for i, num in enumerate((self.videos, few, few)))
        return data.from_arrays(train.x, fields=train.fields, name="bouncing_balls", valid=valid, test=test)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)

        def following(key: PRNGKey, variables: Any, past: Any) -> Any:
            """The frame after each of some windows, [n, size, size, 1] in [0, 1]."""
            return model.sample(key, variables, len(past), condition={"past": past}, sampler=self.sampler)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _ddpm.estimates(model, dataset)(key, variables, split)
            if split is dataset.test:
                found |= next_frame(key, variables, split)
                found |= ahead(rolled_out(key, variables))
            return found

        def next_frame(key: PRNGKey, variables: Any, split: Split) -> dict[str, Estimate]:
            """Squared error of the next frame, summed over its pixels in [0, 1]."""
            past, truth = split.fields["past"], data.to_unit(split.x, dataset.spec)
            drawn = [
                host(following(jax.random.fold_in(key, k), variables, past))
                for k in counted(range(self.samples), "samples")
            ]
            guesses = {
                "last_frame": past[..., -1:] / np.float32(255),
                "sample": drawn[0],
                f"mean_of_{self.samples}": np.mean(drawn, axis=0),
            }
            return {
                f"next/{name}": evaluate.estimate(_squared_error(guess, host(truth)), "per frame")
                for name, guess in guesses.items()
            }

        def rolled_out(key: PRNGKey, variables: Any) -> tuple[np.ndarray, np.ndarray]:
            """Test videos and their continuations, both [rollouts, past + horizon, size, size] in [0, 1]."""
            truth = self.clips(3, self.rollouts, self.past + self.horizon)
            frames = list(np.moveaxis(truth[:, : self.past], 1, 0))
            for i in counted(range(self.horizon), "frames"):
                past = np.stack(frames[-self.past :], axis=-1)
                x = host(following(jax.random.fold_in(key, i), variables, past))[..., 0]
                frames.append(np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8))
                if rehearsing():  # one frame shows what the others would
                    frames += frames[-1:] * (self.horizon - 1)
                    break
            return truth / np.float32(255), np.stack(frames, axis=1) / np.float32(255)

        def ahead(both: tuple[np.ndarray, np.ndarray]) -> dict[str, Estimate]:
            truth, drawn = both
            still = truth[:, self.past - 1]
            found = {}
            for steps in sorted({1, 2, 5, 10, self.horizon}):
                if steps <= self.horizon:
                    at = self.past + steps - 1
                    for name, guess in (("rollout", drawn[:, at]), ("last_frame", still)):
                        error = _squared_error(guess, truth[:, at])
                        found[f"ahead_{steps}/{name}"] = evaluate.estimate(error, "per frame")
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            num = min(8, len(dataset.test))
            past = dataset.test.fields["past"][:num]
            drawn = {
                f"next frame, sample {k}": following(jax.random.fold_in(key, k), state.variables, past)
                for k in range(2)
            }
            given = {f"given, {self.past - i} before": past[..., i, None] / 255 for i in range(self.past)}
            truth = {"next frame": data.to_unit(dataset.test.x[:num], dataset.spec)}
            title = f"{dataset.name} after {int(state.step)} steps"
            return plot.rows({**given, **truth, **drawn}, title=title, columns=num, cmap="gray")

        def film(key: PRNGKey, state: Any) -> Any:
            truth, drawn = rolled_out(key, state.variables)
            title = f"{dataset.name} after {int(state.step)} steps"
            moments = [f"given, {self.past - i} before" for i in range(self.past)]
            moments += [f"drawn, {i + 1} ahead" for i in range(self.horizon)]
            return plot.film({"by the equations of motion": truth, "drawn": drawn}, title=title, moments=moments)

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_ddpm.estimates(model, dataset),
            picture=picture,
            samples=_samples,
            report=report,
            sampling={"condition": {"past": dataset.test.fields["past"][0]}, "sampler": self.sampler},
            pictures={"rollouts": film},
        )


def _samples(x: Any, title: str) -> Any:
    return plot.examples({"": x}, title=title, cmap="gray")


def _squared_error(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.square(guess - truth).reshape(len(truth), -1).sum(axis=1)
