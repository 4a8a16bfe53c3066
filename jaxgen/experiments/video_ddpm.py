"""Video: the next frames given the past ones, of balls that bounce by their equations of motion or of moving digits.

One frame is an image, whose past is further channels; several frames that are drawn at once are a volume of
(time, height, width), whose past is channels as well, the same at every time.
"""

from dataclasses import dataclass
from functools import cached_property
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
_SHOWN = 2  # of several frames that are drawn at once


@dataclass(frozen=True)
class Config(Settings):
    """Settings of video_ddpm.

    Args:
        videos: Windows of `past` + `future` frames to learn from, each of a video of its own; 1,000 for validation and
            as many for testing besides.
        data: Images with labels or without that move in place of balls, by the name or the path of their data set.
        balls: Number of balls, or of images.
        size: Height and width of a frame.
        past: Frames that are given.
        future: Frames that are drawn at once.
        rollouts: Videos that are continued at the end, each frame drawn given those drawn before.
        horizon: Frames of each continuation.
        samples: Samples whose mean is taken for the next frame.
        sampler: Way from noise to a frame.
        model: Configuration of the diffusion model.
    """

    at_hand = (*Settings.at_hand, "rollouts", "horizon", "samples", "sampler")

    videos: int = 20_000
    data: str | None = None
    balls: int = 3
    size: int = 30
    past: int = 4
    future: int = 1
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
        self.require(videos=1, balls=1, size=4, past=1, future=1, rollouts=1, horizon=1, samples=1)

    @cached_property
    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """Images that move in videos to learn from, and in the others, uint8 [n, h, w], 0 .. 255."""
        dataset = data.load(str(self.data))
        if len(dataset.spec.event_shape) != 3 or dataset.spec.event_shape[-1] != 1 or dataset.spec.dtype != "uint8":
            raise ValueError(f"data must be grey images, uint8 [h, w, 1], to move, got {dataset.spec}")
        train, test = (host(data.to_unit(split.x, dataset.spec))[..., 0] for split in (dataset.train, dataset.test))
        return np.rint(255 * train).astype(np.uint8), np.rint(255 * test).astype(np.uint8)

    def clips(self, number: int, num: int, frames: int) -> np.ndarray:
        """Videos [num, frames, size, size] uint8, the same for the same seed and number; 0 is those to learn from."""
        key = jax.random.fold_in(jax.random.key(self.seed), number)
        if self.data is not None:
            images = self.images[min(number, 1)]
            return data.moving_digits(key, images, num, frames, size=self.size, digits=self.balls)
        places = np.asarray(bouncing_balls.trajectories(key, num, _BURN_IN + frames, self.balls))[:, _BURN_IN:]
        return np.concatenate(
            [bouncing_balls.rendered(some, self.size) for some in np.array_split(places, -(-num // 1000))]
        )

    def dataset(self) -> Dataset:
        """Windows: the last frames are modelled, those before them are given as channels."""

        def split(number: int, num: int) -> Split:
            clips = self.clips(number, num, self.past + self.future)
            return Split(self.event(clips[:, self.past :]), fields={"past": self.given(clips[:, : self.past])})

        few = min(1000, self.videos)
        train, valid, test = (split(i, num) for i, num in enumerate((self.videos, few, few)))
        name = "bouncing_balls" if self.data is None else "moving_digits"
        return data.from_arrays(train.x, fields=train.fields, name=name, valid=valid, test=test)

    def event(self, frames: np.ndarray) -> np.ndarray:
        """Frames [n, future, h, w] as they are modelled: one as an image [n, h, w, 1], several as [n, t, h, w, 1]."""
        return np.ascontiguousarray(frames[:, 0, ..., None] if self.future == 1 else frames[..., None])

    def given(self, frames: np.ndarray) -> np.ndarray:
        """Frames [n, past, h, w] as a condition: channels of an image, or of a volume that is one frame long."""
        channels = np.ascontiguousarray(np.moveaxis(frames, 1, -1))
        return channels if self.future == 1 else channels[:, None]

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)

        def following(key: PRNGKey, variables: Any, past: Any) -> np.ndarray:
            """Frames after each of some windows `given`, [n, future, size, size] in [0, 1]."""
            x = host(model.sample(key, variables, len(past), condition={"past": past}, sampler=self.sampler))[..., 0]
            return x[:, None] if self.future == 1 else x

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _ddpm.estimates(model, dataset)(key, variables, split)
            if split is dataset.test:
                found |= next_frame(key, variables, split)
                found |= ahead(rolled_out(key, variables))
            return found

        def next_frame(key: PRNGKey, variables: Any, split: Split) -> dict[str, Estimate]:
            """Squared error of the next frame, summed over its pixels in [0, 1]."""
            past = split.fields["past"]
            truth = host(data.to_unit(split.x, dataset.spec)).reshape(len(split), -1, self.size, self.size)[:, 0]
            drawn = [
                following(jax.random.fold_in(key, k), variables, past)[:, 0]
                for k in counted(range(self.samples), "samples")
            ]
            guesses = {
                "last_frame": past[..., -1].reshape(truth.shape) / np.float32(255),
                "sample": drawn[0],
                f"mean_of_{self.samples}": np.mean(drawn, axis=0),
            }
            return {
                f"next/{name}": evaluate.estimate(_squared_error(guess, truth), "per frame")
                for name, guess in guesses.items()
            }

        def rolled_out(key: PRNGKey, variables: Any) -> tuple[np.ndarray, np.ndarray]:
            """Test videos and their continuations, both [rollouts, past + horizon, size, size] in [0, 1]."""
            truth = self.clips(3, self.rollouts, self.past + self.horizon)
            frames = list(np.moveaxis(truth[:, : self.past], 1, 0))
            times = -(-self.horizon // self.future)
            for i in counted(range(times), "draws"):
                past = self.given(np.stack(frames[-self.past :], axis=1))
                x = following(jax.random.fold_in(key, i), variables, past)
                frames += list(np.moveaxis(np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8), 1, 0))
                if rehearsing():  # one draw shows what the others would
                    frames += frames[-1:] * self.horizon
                    break
            del frames[self.past + self.horizon :]
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
            num, shape = min(8, len(dataset.test)), (-1, self.size, self.size, 1)
            past = dataset.test.fields["past"][:num]
            before = np.moveaxis(past, -1, 0).reshape(self.past, *(num, *shape[1:])) / np.float32(255)
            rows = {f"given, {self.past - i} before": before[i] for i in range(self.past)}
            truth = host(data.to_unit(dataset.test.x[:num], dataset.spec)).reshape(num, *shape)
            drawn = [following(jax.random.fold_in(key, k), state.variables, past)[..., None] for k in range(2)]
            for i in range(min(self.future, _SHOWN)):
                at = "next frame" if self.future == 1 else f"{i + 1} ahead"
                rows |= {at: truth[:, i], **{f"{at}, sample {k}": x[:, i] for k, x in enumerate(drawn)}}
            return plot.rows(rows, title=f"{dataset.name} after {int(state.step)} steps", columns=num, cmap="gray")

        def film(key: PRNGKey, state: Any) -> Any:
            truth, drawn = rolled_out(key, state.variables)
            title = f"{dataset.name} after {int(state.step)} steps"
            moments = [f"given, {self.past - i} before" for i in range(self.past)]
            moments += [f"drawn, {i + 1} ahead" for i in range(self.horizon)]
            return plot.film({"true": truth, "drawn": drawn}, title=title, moments=moments)

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
    """Samples of one frame side by side, those of several under each other, time to the right."""
    if x.ndim == 4:
        return plot.examples({"": x}, title=title, cmap="gray")
    frames = x.reshape(-1, *x.shape[2:])
    return plot.rows({"a video in each row": frames}, title=title, columns=x.shape[1], cmap="gray")


def _squared_error(guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.square(guess - truth).reshape(len(truth), -1).sum(axis=1)
