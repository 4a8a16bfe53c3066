"""A diffusion model of volumes: Gaussian random fields, whose density and power spectrum are known."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, ddpm, evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, RandomField, Split, Standardise
from jaxgen.experiments import _ddpm, _exact
from jaxgen.experiments._modulated import Modulated
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, Settings, pictures


@dataclass(frozen=True)
class Config(Settings):
    """Settings of volumes_ddpm.

    Args:
        field: The random field that volumes are drawn from.
        num: Volumes drawn for training; 200 for validation and 500 for testing besides.
        samples: Volumes drawn from the model for its power spectrum.
        flow_examples: Test volumes whose log-density the probability flow is asked for.
        model: Configuration of the diffusion model; `network` stands in the place of its network.
        network: Sizes of the network.
    """

    at_hand = (*Settings.at_hand, "samples", "flow_examples")

    field: RandomField = RandomField()
    num: int = 20_000
    samples: int = 1000
    flow_examples: int = 100
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(100),
        prediction=ddpm.V(),
        variance=ddpm.LearnedVariance(),
        optimizer=Adam(2e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.995,
        num_draws=100,
    )
    network: Modulated = Modulated(num_blocks=1)
    steps: int = 1500
    batch_size: int = 64
    log_every: int = 100
    checkpoint_every: int = 500

    def __post_init__(self):
        super().__post_init__()
        self.require(num=1, samples=2, flow_examples=2)

    def dataset(self) -> Dataset:
        """The volumes, drawn from the seed."""
        root = jax.random.key(self.seed, impl="threefry2x32")
        sizes = enumerate((self.num, 200, 500))
        train, valid, test = (Split(np.asarray(self.field.sample(jax.random.fold_in(root, i), n))) for i, n in sizes)
        return data.from_arrays(train.x, valid=valid, test=test, name="random_field", scale=Standardise())

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _exact.model(self.model, self.network, spec, self.steps)

    def log_prob(self, split: Any) -> np.ndarray:
        """Exact log p(x) of every example, nats."""
        return self.field.log_prob(np.asarray(split.x))

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        solver, cell = ddpm.DPMSolver(None), self.field.cell
        theory = evaluate.in_bins(self.field.mode_variances * cell ** len(self.field.shape))

        def spectrum(key: PRNGKey, variables: Any, num: int) -> evaluate.Spectrum:
            x = evaluate.samples(model, key, variables, num, chunk=250, sampler=solver)
            return evaluate.power_spectrum(x, cell)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _exact.estimates(model, self.log_prob)(key, variables, split)
            for name in ("negative_bound", "exact"):
                in_bits = evaluate.bits_per_dim(found[name], dataset.spec.num_dimensions)
                found[f"{name}/bits_per_dim"] = in_bits._replace(unit="bits/dim, density")
            if split is dataset.test:
                found["entropy"] = Estimate(self.field.entropy(), None, "nats, of the field")
                found |= _exact.flow(model, self.log_prob, self.flow_examples)(key, variables, split)
                seen = spectrum(key, variables, self.samples)
                ratios, errors = seen.power / theory, seen.standard_error / theory
                unit = "power of {} samples over theory, bin {} of {} modes"
                for i, (ratio, error) in enumerate(zip(ratios, errors, strict=True)):
                    said = unit.format(self.samples, i, seen.modes[i])
                    found[f"spectrum/{i}"] = Estimate(float(ratio), float(error), said)
                chi_squared = float(np.square(seen.deviations(theory)).sum())
                found["chi_squared"] = Estimate(chi_squared, None, f"of {len(theory)} bins, expected as many")
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            x = host(model.sample(key, state.variables, 40, sampler=solver))
            title = f"DDPM on {dataset.name} after {int(state.step)} steps, seed {self.seed}"
            groups = {"real (test set)": dataset.test.x[:40], "sampled, as they come": x}
            return pictures.examples(groups, dataset.spec, title=title, columns=20)

        def spectra(key: PRNGKey, state: Any) -> Any:
            num = max(2, self.samples // 4)
            seen = spectrum(key, state.variables, num)
            real = evaluate.power_spectrum(np.asarray(dataset.test.x), cell)
            shown = {
                "theory": (seen.k, theory),
                f"{num} samples": (seen.k, seen.power, seen.standard_error),
                f"{len(dataset.test)} test volumes": (1.02 * real.k, real.power, real.standard_error),
            }
            ratio = {
                f"{num} samples": (seen.k, seen.power / theory, seen.standard_error / theory),
                f"{len(dataset.test)} test volumes": (1.02 * real.k, real.power / theory, real.standard_error / theory),
            }
            title = f"power spectrum after {int(state.step)} steps, seed {self.seed}; bars: one standard error"
            panels = {"P(k)": shown, "P(k) / theory": ratio}
            return plot.lines(panels, title=title, x_label="k, 1 / length", y_label="field$^2$ length$^3$, or ratio")

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_exact.estimates(model, self.log_prob),
            picture=picture,
            samples=lambda x, title: self.samples_figure(dataset.spec, x, title),
            report=report,
            sampling={"sampler": solver},
            pictures={"spectrum": spectra, "terms": _ddpm.terms(model, dataset)},
        )
