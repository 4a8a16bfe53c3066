"""Text to image: scenes of digits and garments from captions, scored thing by thing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Int32

from jaxgen import data, ddpm, evaluate, nn, plot, require, spelling
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, Split, captions, scenes
from jaxgen.data.captions import Caption, Vocabulary
from jaxgen.data.scenes import Scenes
from jaxgen.experiments import _captions, _ddpm
from jaxgen.experiments._captions import THINGS
from jaxgen.optimizers import Adam, Cosine
from jaxgen.progress import counted
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, Settings
from jaxgen.train import digest

_SHOWN = (
    Caption((captions.Thing("seven"),)),
    Caption((captions.Thing("two", "small"), captions.Thing("five", "large")), ("above",)),
    Caption(
        (captions.Thing("three", "large"), captions.Thing("one", "small"), captions.Thing("eight", "large")),
        ("left of", "above"),
    ),
)


@dataclass(frozen=True)
class Config(Settings):
    """Settings of text_to_image.

    Args:
        data: Sets of images to take things from: digits (which scikit-learn carries), mnist, fashion_mnist.
        scenes: Scenes to learn from.
        held_out: Share of the pairs of things that never meet in a scene to learn from.
        tested: Captions of each kind that are scored at the end.
        guidance: Weights of guidance that are scored.
        classifier_steps: Updates of the classifier that looks at the cells.
        sampler: Way from noise to a scene.
        model: Configuration of the diffusion model.
    """

    at_hand = (*Settings.at_hand, "tested", "guidance", "classifier_steps", "sampler")

    data: tuple[str, ...] = ("digits",)
    scenes: int = 50_000
    held_out: float = 0.1
    tested: int = 300
    guidance: tuple[float, ...] = (1.0, 2.0, 4.0)
    classifier_steps: int = 3000
    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DPMSolver(20)
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(200),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=32, multipliers=(1, 2, 2), attention=(1, 2), num_heads=4, patch=2),
        condition={"caption": nn.CrossAttend(padding=captions.PADDING, encoder=nn.Transformer(), pooled=True)},
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
    )
    steps: int = 20_000
    batch_size: int = 32
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        self.require(scenes=1, tested=2, classifier_steps=1)
        require.number("held_out", self.held_out, above=0, below=1)
        for i, weight in enumerate(self.guidance):
            require.number(f"guidance[{i}]", weight, 0)
        if not self.guidance:
            raise ValueError("guidance must hold at least one weight, got none")
        for name in self.data:
            if name not in THINGS:
                raise ValueError(f"data must be {' or '.join(THINGS)}, got {name!r}{spelling.guess(name, THINGS)}")
        if not self.data or len(set(self.names)) < sum(len(THINGS[name]) for name in self.data):
            raise ValueError(f"data must name sets of different things, one at least, got {self.data}")
        if not self.pairs():
            raise ValueError(
                f"held_out must leave out one pair of {len(self.names)} things at least, got {self.held_out}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes of things."""
        return tuple(dict.fromkeys(thing for name in self.data for thing in THINGS[name]))

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of the captions."""
        return captions.vocabulary(self.names)

    def tokens(self, text: str) -> Int32[np.ndarray, " length"]:
        """A caption of the user's own as the model takes it: `condition={"caption": config.tokens(text)}`.

        Args:
            text: A caption as `jaxgen.data.captions` has them: "a seven left of a small two".

        Raises:
            ValueError: A word that is not known, with the nearest that is; no word, or too many.
        """
        return self.vocabulary.tokens(text)

    def pairs(self) -> frozenset[frozenset[str]]:
        """Pairs of things that never meet in a scene to learn from."""
        return captions.held_out(self.names, self.held_out, self.seed)

    def things(self, split: str) -> dict[str, np.ndarray]:
        """Images [n, h, w] of each thing, 0 .. 255, of one split of the sets of images."""
        found = {}
        for name in self.data:
            loaded = data.load(name)
            images = loaded.splits[split]
            if images.label is None or loaded.spec.levels is None:
                raise ValueError(f"{name} must have labels and grey levels")
            grey = np.rint(images.x[..., 0] * (255 / (loaded.spec.levels - 1))).astype(np.uint8)
            found |= {thing: grey[images.label == label] for thing, label in THINGS[name].items()}
        return {thing: images[images.any(axis=(1, 2))] for thing, images in found.items()}

    def drawn(
        self, number: int, num: int, split: str, num_things: Sequence[int] = (1, 2, 3), unseen: bool = False
    ) -> tuple[list[Caption], Scenes]:
        """Captions and real scenes of them, the same for the same seed and number.

        Args:
            number: Number of the draw.
            num: Number of scenes.
            split: Split of the sets of images from which the things come.
            num_things: Numbers of things to draw from.
            unseen: Whether each scene has a pair that is held out; otherwise none has.
        """
        rng, pairs = np.random.default_rng((self.seed, number)), self.pairs()
        said = [captions.drawn(rng, self.names, num_things, pairs, unseen) for _ in range(num)]
        return said, scenes.drawn(rng, said, self.things(split))

    def encoded(self, said: Sequence[Caption]) -> Int32[np.ndarray, "n length"]:
        """Captions as tokens."""
        vocabulary = self.vocabulary
        return np.stack([vocabulary.tokens(str(caption)) for caption in said])

    def dataset(self) -> Dataset:
        """Scenes without the pairs that are held out: the picture is modelled, the caption is given."""
        few = max(2, min(1000, self.scenes // 10))

        def split(number: int, num: int, of: str) -> Split:
            said, real = self.drawn(number, num, of)
            return Split(real.x, fields={"caption": self.encoded(said)})

        train = split(0, self.scenes, "train")
        return data.from_arrays(
            train.x,
            fields=train.fields,
            num_values={"caption": self.vocabulary.num_values},
            name="scenes of " + " and ".join(self.data),
            valid=split(1, few, "valid"),
            test=split(2, few, "test"),
        )

    def model_for(self, spec: Spec) -> GenerativeModel:
        return ddpm.model(self.model.lasting(self.steps), spec)

    def judge(self) -> evaluate.TrainedClassifier:
        """The classifier of cells, trained on the cells of scenes to learn from; 0 is nothing."""
        real = self.drawn(0, min(self.scenes, 20_000), "train")[1]
        return evaluate.train_classifier(
            jax.random.key(self.seed),
            scenes.cut_into_cells(real.x),
            real.cells.ravel(),
            1 + len(captions.SIZES) * len(self.names),
            levels=256,
            num_steps=self.classifier_steps,
        )

    def kinds(self) -> dict[str, tuple[list[Caption], Scenes]]:
        """Captions to be scored by their kind, with real scenes of things that no model has learned from."""
        return {
            "alone": self.drawn(3, self.tested, "test", (1,)),
            "seen": self.drawn(4, self.tested, "test", (2, 3)),
            "unseen": self.drawn(5, self.tested, "test", (2, 3), unseen=True),
        }

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)

        def painted(key: PRNGKey, variables: Any, said: Sequence[Caption], weight: float) -> np.ndarray:
            """Samples [n, 32, 32, 1] of captions, in [0, 1]."""
            given = {"caption": self.encoded(said)}
            weighted = {} if weight == 1 else {"guidance": weight}
            return host(model.sample(key, variables, len(said), condition=given, sampler=self.sampler, **weighted))

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _ddpm.estimates(model, dataset)(key, variables, split)
            return found | scored(key, variables) if split is dataset.test else found

        def scored(key: PRNGKey, variables: Any) -> dict[str, Estimate]:
            """Real scenes and samples by the same classifier."""
            if rehearsing():  # one kind shows what the others would, untrained classifier aside
                painted(key, variables, self.drawn(3, 2, "test")[0], self.guidance[-1])
                return {}
            judge, kinds = self.judge(), self.kinds()
            found: dict[str, Estimate] = {}
            real_cells = np.concatenate([scenes.cut_into_cells(real.x) for _, real in kinds.values()])
            labels = np.concatenate([real.cells.ravel() for _, real in kinds.values()])
            accuracy = judge.accuracy(real_cells, labels)
            found["classifier"] = accuracy._replace(unit=f"accuracy on real cells, {digest(judge.params)[:8]}")

            def score(name: str, said: Sequence[Caption], x: np.ndarray) -> None:
                cells = judge.predictions(scenes.cut_into_cells(x)).reshape(-1, 2, 2)
                found.update(_captions.estimates(said, cells, self.names, name))

            for kind, (said, real) in kinds.items():
                score(f"{kind}/real", said, real.x)
            todo = [(weight, kind) for weight in self.guidance for kind in kinds]
            for weight, kind in counted(todo, "sets of captions", len(todo)):
                x = painted(key, variables, kinds[kind][0], weight)
                score(f"{kind}/guidance_{weight:g}", kinds[kind][0], np.clip(x, 0, 1))
            return found

        def captioned(said: Sequence[Caption], title: str) -> Callable[[PRNGKey, Any], Any]:
            def figure(key: PRNGKey, state: Any) -> Any:
                weight = self.guidance[len(self.guidance) // 2]
                num = 4
                every = [caption for caption in said for _ in range(num)]
                x = np.clip(painted(key, state.variables, every, weight), 0, 1)
                strips = {str(caption): plot.tile(x[num * i : num * (i + 1)], num) for i, caption in enumerate(said)}
                return plot.photographs(
                    strips,
                    title=f"{dataset.name} after {int(state.step)} steps, guidance {weight:g}: {title}",
                    columns=3,
                )

            return figure

        few = {"seen": (2, 3), "unseen": (2, 3)}
        said = {
            kind: self.drawn(4 + number, 12, "test", num_things, unseen=kind == "unseen")[0]
            for number, (kind, num_things) in enumerate(few.items())
        }
        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_ddpm.estimates(model, dataset),
            picture=captioned([*_SHOWN, *said["seen"][:6]], "four samples of each caption"),
            samples=_samples,
            report=report,
            sampling={"condition": {"caption": self.encoded(_SHOWN[1:2])[0]}, "sampler": self.sampler},
            pictures={"unseen": captioned(said["unseen"], "pairs of things that never met in training")},
        )


def _samples(x: Any, title: str) -> Any:
    return plot.examples({"": x}, title=title, cmap="gray")
