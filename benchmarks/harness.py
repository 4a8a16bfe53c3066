"""What every benchmark shares: fair turns, medians, and a line of JSON with device and versions.

Contestants are measured side by side in one process: every repetition gives each of them one turn, so that a noisy
neighbour or a warm chip meets all alike. Compilation is paid in a turn of its own and reported apart.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

REPETITIONS = 5


def pin(threads: int) -> None:
    """Keep this process on `threads` cores; call it before jax or torch are imported.

    Raises:
        ValueError: Fewer cores than threads.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        raise ValueError(f"threads must be at most {len(cores)} (the cores at hand), got {threads}")
    os.sched_setaffinity(0, set(cores[:threads]))


def compete(contestants: Mapping[str, Callable[[], float]], repetitions: int = REPETITIONS) -> dict[str, Any]:
    """Give each contestant a first turn, then `repetitions` alternated ones.

    Args:
        contestants: By name, a function that works for a while and returns its rate (steps or samples per second).
        repetitions: Turns per contestant.

    Returns:
        By name: "rate" (the median), "rates" (all) and "first_turn_s" (with compilation).
    """
    found: dict[str, Any] = {}
    for name, turn in contestants.items():
        begin = time.perf_counter()
        turn()
        found[name] = {"rates": [], "first_turn_s": round(time.perf_counter() - begin, 2)}
    for _ in range(repetitions):
        for name, turn in contestants.items():
            found[name]["rates"].append(float(f"{turn():.3g}"))
    for result in found.values():
        result["rate"] = statistics.median(result["rates"])
    return found


def report(question: str, unit: str, found: Mapping[str, Any]) -> None:
    """Print a table, and the same as one line of JSON."""
    from jaxgen.runs import environment

    print(question)
    width = max(map(len, found))
    for name, result in found.items():
        spread = f"{min(result['rates']):g} .. {max(result['rates']):g}"
        print(f"  {name:{width}}  {result['rate']:10g} {unit}  ({spread}; first turn {result['first_turn_s']} s)")
    versions = dict(environment.describe())
    try:
        import torch

        versions["torch"] = torch.__version__
    except ImportError:
        pass
    print(json.dumps({"question": question, "unit": unit, "found": found, "environment": versions}))
