"""How long does a Fréchet distance of 50,000 x 2,048 features take, and how much memory?

    python benchmarks/frechet.py

Features are drawn from two normal distributions, rectified. Prints a line of JSON: seconds of the moments of both sets
and of the distance, and the largest memory of the process, with and without the two arrays of features themselves.
"""

import argparse
import json
import os
import resource
import time

import numpy as np

from jaxgen import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=50_000, help="examples of each set")
    parser.add_argument("--features", type=int, default=2048)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((options.features, options.features), np.float32) / np.sqrt(options.features)

    def drawn(scale: float) -> np.ndarray:
        found = np.empty((options.num, options.features), np.float32)
        for rows in np.array_split(found, max(1, options.num // 1000)):
            np.maximum(rng.standard_normal(rows.shape, np.float32) @ mix * np.float32(scale), 0, out=rows)
        return found

    sets = drawn(1.0), drawn(1.1)
    held = sum(features.nbytes for features in sets)
    start = time.perf_counter()
    moments = [evaluate.moments(features) for features in sets]
    middle = time.perf_counter()
    distance = evaluate.frechet_distance(*moments)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {
        "num": options.num,
        "features": options.features,
        "distance": distance,
        "moments_seconds": round(middle - start, 1),
        "distance_seconds": round(end - middle, 1),
        "peak_gib": round(peak / 2**30, 2),
        "features_gib": round(held / 2**30, 2),
        "cores": os.cpu_count(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
