"""Values that are missing because of what they are: a VAE with the mask's own distribution, beside three others."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from jaxgen import data, evaluate, plot, require, vae
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset, Split
from jaxgen.experiments import _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, Settings

TABLES = ("breast_cancer", "wine", "iris")
"""Tables of real values that scikit-learn carries."""


@dataclass(frozen=True)
class Config(Settings):
    """Settings of missing_not_at_random.

    The first half of the columns lose every value above their mean, so that the mask knows what it hides. The deleted
    values are used for nothing but to score the imputations: all rows are trained on and imputed, as in the paper.

    Args:
        data: Table of scikit-learn's: breast_cancer, wine, iris; standardised.
        imputations: Imputations of each value, whose spread is compared with the errors.
        num_samples: Weighted draws from which they are taken.
        model: Configuration of the VAE; `model.missing:none` leaves the mask's distribution out (MIWAE).
    """

    at_hand = (*Settings.at_hand, "imputations", "num_samples")

    data: str = "breast_cancer"
    imputations: int = 50
    num_samples: int = 5000
    model: vae.Config = vae.Config(
        latent_dim=29,
        hidden=(),
        likelihood=vae.Normal(0.5, learn=True),
        num_samples=20,
        missing=vae.SelfMasking(1),
        optimizer=Adam(3e-3, Cosine()),
    )
    steps: int = 3000
    batch_size: int = 64
    checkpoint_every: int = 1000

    def __post_init__(self):
        super().__post_init__()
        require.one_of("data", self.data, TABLES)
        self.require(imputations=2, num_samples=50)
        if self.num_samples % 50:
            raise ValueError(f"num_samples must be a multiple of 50, got {self.num_samples}")

    def table(self) -> Float32[np.ndarray, "n d"]:
        """All values, each column with mean 0 and variance 1."""
        from sklearn import datasets

        x = np.asarray(getattr(datasets, f"load_{self.data}")(return_X_y=True)[0], np.float64)
        return ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)

    def dataset(self) -> Dataset:
        """The table with 0 for what is deleted, and the mask; training, validation and test set are the same rows."""
        x = self.table()
        mask = kept(x)
        whole = Split(np.where(mask, x, np.float32(0)), mask=mask)
        return data.from_arrays(whole.x, mask=mask, name=f"{self.data}, not at random", valid=whole, test=whole)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return vae.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model, truth = self.model_for(dataset.spec), self.table()
        batch = {"x": dataset.test.x, "mask": dataset.test.mask}
        beside = {} if rehearsing() else others(batch["x"], batch["mask"])
        options = {"num_samples": self.num_samples}

        def imputed(key: PRNGKey, variables: Any) -> np.ndarray:
            return host(model.parts.impute(key, variables, batch, **options))

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = _images.estimates(model, dataset)(key, variables, split)
            if split is not dataset.test:
                return found
            drawn = host(model.parts.imputations(key, variables, batch, self.imputations, **options))
            found["rmse"] = error_of(imputed(key, variables), truth, batch["mask"])
            found["covered"] = covered(drawn, truth, batch["mask"])
            return found | {f"rmse/{name}": error_of(x, truth, batch["mask"]) for name, x in beside.items()}

        def picture(key: PRNGKey, state: Any) -> Any:
            hidden = ~np.asarray(batch["mask"])
            ways = {**beside, "this model": imputed(key, state.variables)}
            clouds = {name: np.stack([truth[hidden], x[hidden]], axis=1) for name, x in ways.items()}
            return plot.scatter(
                {"as they are": np.stack([truth[hidden]] * 2, axis=1), **clouds},
                title=f"{self.data}, after {int(state.step)} steps: values that were deleted, and imputations",
                columns=2,
                axes=("deleted value, standardised", "imputation"),
            )

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_images.estimates(model, dataset),
            picture=picture,
            samples=lambda x, title: self.samples_figure(dataset.spec, x, title),
            report=report,
        )


def kept(x: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "n d"]:
    """The mask of the protocol: the first half of the columns keeps what is not above the column's mean."""
    mask, half = np.ones(x.shape, bool), x.shape[1] // 2
    mask[:, :half] = x[:, :half] <= x[:, :half].mean(axis=0)
    return mask


def others(x: np.ndarray, mask: np.ndarray) -> Mapping[str, np.ndarray]:
    """Imputations that know of no mask: the mean of what is seen of a column, and chained regressions."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401  # makes the next import possible
    from sklearn.impute import IterativeImputer, SimpleImputer

    holes = np.where(mask, np.asarray(x, np.float64), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it stops after ten rounds, as it does by default
        chained = IterativeImputer(random_state=0).fit_transform(holes)
    means = SimpleImputer().fit_transform(holes)
    return {"mean of what is seen": np.asarray(means), "chained regressions": np.asarray(chained)}


def error_of(imputed: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Estimate:
    """Root mean square error over the deleted values, with an error over rows."""
    square = np.where(mask, 0, np.square(np.asarray(imputed, np.float64) - truth)).sum(axis=1)
    num = (~mask).sum(axis=1)
    mean = square.sum() / num.sum()
    # The mean is a ratio of two sums over rows: to first order its error is that of the residuals.
    spread = np.sqrt(np.square(square - mean * num).sum()) / num.sum()
    return Estimate(float(np.sqrt(mean)), float(spread / (2 * np.sqrt(mean))), "root mean square error, standardised")


def covered(drawn: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> Estimate:
    """Share of the deleted values between the 5 % and the 95 % quantile of their imputations."""
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    inside = ((truth >= low) & (truth <= high))[~np.asarray(mask)]
    return evaluate.estimates({"inside": inside.astype(np.float64)}, "share within 90 % intervals")["inside"]
