"""What do the ends and the steps of a diffusion model cost its bound, where the network is perfect?

    python benchmarks/bound_ends.py [--data mnist]

Pixels are drawn independently, each with the histogram of the data's grey levels, so that the entropy and the best
network are known (`jaxgen.flow.oracle.GreyLevels`): what a bound says beyond the entropy is the price of its schedule.
Prints a line of JSON for each schedule of the discrete chain, and one for continuous time: bits/dim beyond the entropy,
with standard error, and the three terms.
"""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import data, ddpm, paths
from jaxgen.flow.objective import continuous_bound
from jaxgen.flow.oracle import GreyLevels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist", help="data set whose grey levels are counted")
    parser.add_argument("--num", type=int, default=64, help="examples")
    parser.add_argument("--pixels", type=int, default=64, help="pixels of an example")
    options = parser.parse_args()
    dataset = data.load(options.data)
    levels = dataset.spec.levels
    if levels is None:
        raise SystemExit(f"{options.data} has no grey levels")
    counts = np.bincount(np.asarray(dataset.train.x).reshape(-1), minlength=levels) + 1.0
    pixels = GreyLevels(counts / counts.sum())
    entropy = float(-(pixels.probabilities * np.log2(pixels.probabilities)).sum())
    x_0 = pixels.sample(jax.random.key(0), options.num, (options.pixels,))
    own = np.asarray(pixels.log_prob(x_0))

    def told(name: str, bound: object, terms: tuple[str, ...]) -> None:
        beyond = (np.asarray(bound.negative_bound) + own) / np.log(2) / options.pixels
        said = {
            term: round(float(np.mean(np.asarray(getattr(bound, term)))) / np.log(2) / options.pixels, 4)
            for term in terms
        }
        error = float(beyond.std() / np.sqrt(options.num))
        print(
            json.dumps({"schedule": name, "beyond": round(float(beyond.mean()), 4), "error": round(error, 4), **said})
        )

    print(json.dumps({"data": options.data, "entropy": round(entropy, 4), "unit": "bits/dim"}))
    chains = {
        "Linear(1000)": ddpm.Linear(1000),
        "Linear(1000, log_snr=(-10, 13.3))": ddpm.Linear(1000, log_snr=(-10.0, 13.3)),
        "Cosine(1000)": ddpm.Cosine(1000),
        "Cosine(1000, log_snr=(-10, 13.3))": ddpm.Cosine(1000, log_snr=(-10.0, 13.3)),
        "Cosine(4000, log_snr=(-10, 13.3))": ddpm.Cosine(4000, log_snr=(-10.0, 13.3)),
        "Cosine(100, log_snr=(-10, 13.3))": ddpm.Cosine(100, log_snr=(-10.0, 13.3)),
    }
    for name, choice in chains.items():
        schedule = choice.schedule()
        path, last = paths.Tabulated(tuple(schedule.alpha_bar[1:].tolist())), schedule.num_timesteps

        def denoise(x_t: jax.Array, t: jax.Array, path: paths.Path = path, last: int = last) -> jax.Array:
            return pixels.ends(path, x_t, t.astype(jnp.float32) / last).eps

        bound = jax.jit(
            lambda key, x, schedule=schedule, denoise=denoise: ddpm.objective.variational_bound(
                key, denoise, schedule, x, levels=levels, clip=1.0
            )
        )
        told(name, bound(jax.random.key(1), x_0), ("prior", "denoising", "reconstruction"))
    path = paths.LinearLogSNR(-10.0, 13.3)
    bound = jax.jit(
        lambda key, x: continuous_bound(
            key, lambda x_t, t: pixels.ends(path, x_t, t), path, x, levels=levels, num_draws=1000
        )
    )
    told("continuous, -10 to 13.3", bound(jax.random.key(1), x_0), ("prior", "diffusion", "reconstruction"))


if __name__ == "__main__":
    main()
