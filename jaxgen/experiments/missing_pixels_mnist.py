"""Missing halves of digits: a diffusion model that is given the mask, beside inpainting by one that is not."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, ddpm, evaluate, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, Split, masks
from jaxgen.experiments import _ddpm, _missing
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, Settings, pictures
from jaxgen.train import digest

_HELD_OUT = 2000  # images for validation, and for testing: enough for the bound, which takes a while

SIDES = ("upper half", "lower half", "left half", "right half")


@dataclass(frozen=True)
class Config(Settings):
    """Settings of missing_pixels_mnist.

    Args:
        data: Name of a data set of images with labels: "mnist", or "digits", which scikit-learn carries.
        completed: Test images that are completed given the mask, of each another half.
        inpainted: The first of them are inpainted by the model as one without a mask, too.
        sampler: Way from noise to a completed image.
        levels: Levels that inpainting visits.
        repeats: How often it goes down each stretch.
        jump: Levels of a stretch.
        classifier_steps: Updates of the classifier that reads the completed images.
        model: Configuration of the diffusion model.
    """

    at_hand = (
        *Settings.at_hand,
        "completed",
        "inpainted",
        "sampler",
        "levels",
        "repeats",
        "jump",
        "classifier_steps",
    )

    data: str = "mnist"
    completed: int = 1000
    inpainted: int = 200
    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DPMSolver(20)
    levels: int = 50
    repeats: int = 4
    jump: int = 5
    classifier_steps: int = 1500
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(200),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=32, multipliers=(1, 2), attention=(1,), patch=2),
        condition=_missing.CONDITION,
        optimizer=Adam(2e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.995,
        num_draws=4,
    )
    steps: int = 2000
    batch_size: int = 32
    log_every: int = 100
    checkpoint_every: int = 500

    def __post_init__(self):
        super().__post_init__()
        self.require(completed=4, inpainted=4, levels=1, repeats=1, jump=1, classifier_steps=1)
        require.fields(self)

    def dataset(self) -> Dataset:
        """The images with a mask for each, of every kind in turn."""
        own: Any = data.load(self.data, seed=self.seed)
        described = (own.spec.num_classes, own.spec.levels, own.valid)
        if None in described or len(own.spec.event_shape) != 3:
            raise ValueError(f"data must be images of grey levels with labels, got {self.data}")
        root = jax.random.key(self.seed, impl="threefry2x32")

        def masked(i: int, split: Any) -> Split:
            return Split(split.x, split.label, fields=_missing.fields(jax.random.fold_in(root, i), split.x))

        held_out = (split.rows(np.arange(min(_HELD_OUT, len(split)))) for split in (own.valid, own.test))
        train, valid, test = (masked(i, split) for i, split in enumerate((own.train, *held_out)))
        return data.from_arrays(
            train.x,
            train.label,
            fields=train.fields,
            levels=own.spec.levels,
            num_values={"known": own.spec.levels},
            valid=valid,
            test=test,
            name=own.name,
        )

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset: Any = self.dataset()
        model, spec, test = self.model_for(dataset.spec), dataset.spec, dataset.test
        conditional = _missing.conditional(model, spec, self.sampler)
        replacement = _missing.replaced(model, spec, self.levels, 1, 1)
        repeated = _missing.replaced(model, spec, self.levels, self.repeats, self.jump)
        sides = np.asarray(masks.halves(spec.event_shape[:-1]))[..., None]

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _ddpm.estimates(model, dataset)(key, variables, split)
            return found | read(key, variables) if split is test else found

        def read(key: PRNGKey, variables: Any) -> dict[str, Estimate]:
            """Shares of images that a classifier reads as their label; image k has half k modulo 4."""
            num = min(self.completed, len(test))
            few, side = min(self.inpainted, num), np.arange(num) % 4
            x, label, seen = test.x[:num], test.label[:num], sides[side]
            whole = host(data.to_unit(x, spec))
            drawn = {
                "real": whole,
                "half": np.where(seen, whole, np.float32(0)),
                "given_mask": conditional(key, variables, x, seen),
                "replacement": replacement(key, variables, x[:few], seen[:few]),
                f"repeated_{self.repeats}": repeated(key, variables, x[:few], seen[:few]),
            }
            if rehearsing():
                return {}
            train = dataset.train
            options = {"levels": spec.levels, "num_steps": self.classifier_steps, "batch_size": min(128, len(train))}
            judge = evaluate.train_classifier(
                jax.random.key(self.seed), train.x, train.label, spec.num_classes, **options
            )
            right = {
                name: judge.predictions(np.clip(images, 0, 1)) == label[: len(images)] for name, images in drawn.items()
            }
            right |= {f"given_mask/first_{few}": right["given_mask"][:few], f"half/first_{few}": right["half"][:few]}
            for i, name in enumerate(SIDES):
                short = name.split()[0]
                right[f"half/{short}"], right[f"given_mask/{short}"] = (
                    right[which][side == i] for which in ("half", "given_mask")
                )
            found = {
                f"read/{name}": evaluate.estimate(hits.astype(np.float32), "share") for name, hits in right.items()
            }
            says = f"share read as the label by classifier {digest(judge.params)[:8]}"
            return found | {"read/real": found["read/real"]._replace(unit=says)}

        def picture(key: PRNGKey, state: Any) -> Any:
            num = min(20, len(test))
            x, seen = test.x[:num], sides[np.arange(num) % 4]
            whole = host(data.to_unit(x, spec))
            samples = {
                f"given the mask, sample {k}": conditional(jax.random.fold_in(key, k), state.variables, x, seen)
                for k in range(3)
            }
            groups = {
                "real (test set)": whole,
                "what is seen": np.where(seen, whole, np.float32(0.5)),
                **samples,
                f"without a mask: replacement, {self.levels} steps": replacement(key, state.variables, x, seen),
                f"without a mask: {self.repeats} times in stretches of {self.jump}": repeated(
                    key, state.variables, x, seen
                ),
            }
            title = f"{dataset.name} after {int(state.step)} steps, seed {self.seed}: missing halves, test images"
            return pictures.examples(groups, spec, title=title, columns=num)

        def any_mask(key: PRNGKey, state: Any) -> Any:
            """One row for each kind of mask, drawn anew, and its completion below."""
            num, groups = min(20, len(test)), {}
            for i, kind in enumerate(masks.KINDS):
                seen = np.asarray(masks.drawn(jax.random.fold_in(key, i), num, spec.event_shape[:-1], [kind]))[
                    ..., None
                ]
                x, name = test.x[:num], kind.__name__.replace("_", " ")
                shown = np.where(seen, host(data.to_unit(x, spec)), np.float32(0.5))
                groups |= {f"{name}: seen": shown, f"{name}: completed": conditional(key, state.variables, x, seen)}
            title = f"{dataset.name} after {int(state.step)} steps: every kind of mask, test images"
            return pictures.examples(groups, spec, title=title, columns=num)

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_ddpm.estimates(model, dataset),
            picture=picture,
            samples=lambda x, title: self.samples_figure(spec, x, f"{title}; all given the same half"),
            report=report,
            sampling={
                "sampler": self.sampler,
                "condition": {name: field[0] for name, field in _missing.given(test.x[:1], sides[:1]).items()},
            },
            pictures={"any_mask": any_mask},
        )
