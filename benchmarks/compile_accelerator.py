"""What do the compilers for GPU and TPU make of every experiment? Nothing runs, and no accelerator is needed.

    python benchmarks/compile_accelerator.py [--experiments digits_vae ..] [--programs step chunk sample evaluate]
        [--targets lower v5e:1 v5e:2x2 v5e:16x16 v6e:1] [--dtypes float32 bfloat16] [--seconds 300] [--effort 0]
        [--out table.md]

The target "lower" lowers for CUDA and TPU, by jax alone. The others compile for TPU chips that are not there, by the
package libtpu (`pip install libtpu`): one chip, 2 x 2, 16 x 16. Batches are the experiment's own on each chip, as far
as the data allow; samples and evaluation are of 512 examples in all. After each program there is one line of JSON, so
that a cut still yields results; a program that takes longer than --seconds is given up. In the end, a table.

Seconds and utilisation are estimates of the compiler's cost model, not measurements: time has to be measured on a chip.
It counts the body of a loop once: the numbers of "chunk" are those of one step, those of "sample" of one step down.
"""

import argparse
import importlib.util
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PROGRAMS = ("step", "chunk", "sample", "evaluate")
TARGETS = ("lower", "v5e:1", "v5e:2x2", "v5e:16x16", "v6e:1")
CHIPS = {"v5e": ("v5litepod", 197e12, 16), "v6e": ("v6e", 918e12, 32)}
"""Name of the accelerator type, peak FLOP/s in bfloat16, memory in GiB: cloud.google.com/tpu/docs."""

POINTS, EXAMPLES = 100_000, 512


def data_of(config: Any) -> tuple[Any, int]:
    """Description and number of the training examples of an experiment, without the data."""
    from jaxgen.core import Spec

    match getattr(config, "data", "points"):
        case "digits":
            return Spec((8, 8, 1), "uint8", 17, 10), 1297
        case "mnist":
            return Spec((28, 28, 1), "uint8", 256, 10), 60_000
        case "cifar10":
            return Spec((32, 32, 3), "uint8", 256, 10), 50_000
        case _:
            return Spec((2,)), getattr(config, "num", POINTS)


def made(experiment: str, program: str, dtype: str, chips: Any) -> tuple[Any, tuple[Any, ...], int]:
    """A program of an experiment, the shapes of its arguments on these chips (None: on no device), and its batch."""
    from dataclasses import replace

    import jax
    import jax.numpy as jnp

    from jaxgen import experiments
    from jaxgen.data import Batches
    from jaxgen.train import parallel
    from jaxgen.train.program import program as loop
    from jaxgen.train.window import empty_window

    config = experiments.find(experiment).Config()
    if dtype != "float32":
        config = replace(config, model=replace(config.model, dtype=dtype))
    spec, n = data_of(config)
    model = config.model_for(spec)
    count = 1 if chips is None else chips.devices.size
    unit = math.lcm(count, config.batch_unit)
    size = -(-EXAMPLES // unit) * unit
    if program in ("step", "chunk"):
        size = min(config.batch_size_for(n) * count, n, (2**32 - 1) // n) // unit * unit
    # The whole data set is on every device, as in `fit`.
    arrays = {"x": jax.ShapeDtypeStruct((n, *spec.event_shape), spec.dtype)}
    if spec.num_classes is not None:
        arrays["label"] = jax.ShapeDtypeStruct((n,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    feed = Batches(arrays, key, min(size, n), n)
    batch = jax.eval_shape(lambda feed: feed(0), feed)
    state = jax.eval_shape(model.init, key, batch)

    def placed(tree: Any, sharding: Any) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

    whole = None if chips is None else parallel.replicated(chips)
    divided = None if chips is None else parallel.sharded(chips)
    match program:
        case "step":
            return jax.jit(model.step), (*placed((key, state), whole), placed(batch, divided)), size
        case "chunk":
            window = placed(empty_window(model, key, state, batch), whole)
            given = (*placed((key, state), whole), window, placed(feed, whole), placed(jnp.int32(8), whole))
            return loop(model.step, None if count == 1 else chips), given, size
        case "sample":
            drawn = jax.jit(lambda key, variables: model.sample(key, variables, size), out_shardings=divided)
            return drawn, placed((key, state.variables), whole), size
        case _:
            return jax.jit(model.evaluate), (*placed((key, state.variables), whole), placed(batch, divided)), size


def chips_of(target: str) -> Any:
    """The mesh of the chips of a target; None for no chips."""
    if target == "lower":
        return None
    kind, shape = target.split(":")
    whole = "2x2" if shape == "1" else shape
    count = math.prod(map(int, whole.split("x")))
    os.environ.update(
        TPU_SKIP_MDS_QUERY="1",
        TPU_ACCELERATOR_TYPE=f"{CHIPS[kind][0]}-{count}",
        TPU_WORKER_HOSTNAMES="localhost",
        TPU_WORKER_ID="0",
        ALLOW_MULTIPLE_LIBTPU_LOAD="1",  # nothing but compiling: several processes may do that at once
    )
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import AxisType, Mesh

    from jaxgen.train import parallel

    devices = topologies.get_topology_desc(platform="tpu", topology_name=f"{kind}:{whole}").devices
    return Mesh(np.array(devices[:1] if shape == "1" else devices), (parallel.AXIS,), axis_types=(AxisType.Auto,))


def compiled(item: dict[str, str], chips: Any, effort: float) -> dict[str, Any]:
    """Facts about one program."""
    import jax

    from jaxgen.train.compiled import bytes_per_device, collectives

    program, arguments, batch = made(item["experiment"], item["program"], item["dtype"], chips)
    begin, cpu = time.perf_counter(), time.process_time()
    if chips is None:
        text = jax.export.export(program, platforms=("cuda", "tpu"))(*arguments).mlir_module()
        return {"batch": batch, "characters": len(text), "seconds": round(time.perf_counter() - begin, 1)}
    options: Any = {"exec_time_optimization_effort": effort} if effort else None
    program = program.lower(*arguments).compile(compiler_options=options)
    took = {"seconds": round(time.perf_counter() - begin, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    cost = program.cost_analysis() or {}
    flops, estimate = float(cost.get("flops", 0)), float(cost.get("optimal_seconds", 0))
    sums: dict[str, list[int]] = {}
    for found in collectives(program):
        sums.setdefault(found.kind, []).append(found.bytes)
    return {
        "batch": batch,
        "bytes_per_device": bytes_per_device(program),
        "flops_per_device": flops,
        "estimated_seconds": estimate,
        "estimated_utilisation": flops / estimate / CHIPS[item["target"].split(":")[0]][1] if estimate else None,
        "collectives": {kind: {"count": len(sizes), "bytes": sum(sizes)} for kind, sizes in sums.items()},
        **took,
    }


def work(items: list[dict[str, str]], effort: float) -> None:
    """Compile these one after the other, all for one target, with a line of JSON each."""
    chips = chips_of(items[0]["target"])
    for item in items:
        try:
            result = compiled(item, chips, effort)
        except Exception as error:  # a table must show what does not compile, and go on
            result = {"error": f"{type(error).__name__}: {error}".partition("\n")[0][:300]}
        print(json.dumps(item | result), flush=True)


def supervised(items: list[dict[str, str]], effort: float, limit: float) -> list[dict[str, Any]]:
    """Results for all items of one target; the process that takes too long for one is ended, and another goes on."""
    results: list[dict[str, Any]] = []
    while len(results) < len(items):
        command = [sys.executable, __file__, "--work", json.dumps(items[len(results) :]), "--effort", str(effort)]
        worker = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"}
        )
        lines: queue.Queue[str] = queue.Queue()

        def read(worker: Any = worker, lines: queue.Queue[str] = lines) -> None:
            for line in worker.stdout:
                if line.startswith("{"):
                    lines.put(line)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        while len(results) < len(items):
            try:
                line, why = lines.get(timeout=limit), "the compiler's process ended"
            except queue.Empty:
                line, why = "", f"not within {limit:g} s"
            results.append(json.loads(line) if line else items[len(results)] | {"error": why})
            print(json.dumps(results[-1]), flush=True)
            if not line:
                break
        worker.kill()
        worker.wait()
    return results


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    rows = [
        "| experiment | program | dtype | target | batch | MiB per device | GFLOP per device | ms (estimate) "
        "| utilisation (estimate) | collectives | compile s (CPU s) |",
        "|" + "---|" * 11,
    ]
    for r in results:
        where = "cuda, tpu" if r["target"] == "lower" else r["target"]
        begin = f"| {r['experiment']} | {r['program']} | {r['dtype']} | {where} |"
        if "error" in r:
            rows.append(f"{begin} | {r['error'].replace('|', '/')} | | | | | |")
            continue
        if r["target"] == "lower":
            rows.append(f"{begin} {r['batch']} | lowered: {r['characters']:,} characters | | | | | {r['seconds']} |")
            continue
        sent = ", ".join(f"{v['count']} {k} ({v['bytes'] / 2**20:.2f} MiB)" for k, v in r["collectives"].items())
        share = r["estimated_utilisation"]
        rows.append(
            f"{begin} {r['batch']} | {r['bytes_per_device'] / 2**20:,.1f} | {r['flops_per_device'] / 1e9:,.2f} "
            f"| {1e3 * r['estimated_seconds']:.3f} | {'' if share is None else f'{100 * share:.1f} %'} "
            f"| {sent or 'none'} | {r['seconds']} ({r['cpu_seconds']}) |"
        )
    return "\n".join(rows)


def main() -> None:
    os.environ["JAX_PLATFORMS"] = "cpu"
    from jaxgen import experiments

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--experiments", nargs="*", default=experiments.names(), choices=experiments.names())
    parser.add_argument("--programs", nargs="*", default=PROGRAMS, choices=PROGRAMS)
    parser.add_argument("--targets", nargs="*", default=TARGETS, help="lower, or KIND:CHIPS as v5e:2x2 and v6e:1")
    parser.add_argument("--dtypes", nargs="*", default=("float32",), choices=("float32", "bfloat16"))
    parser.add_argument("--seconds", type=float, default=300, help="limit for each compilation")
    parser.add_argument("--effort", type=float, default=0, help="XLA's exec_time_optimization_effort, -1 .. 1")
    parser.add_argument("--out", type=Path, default=None, help="file for the table")
    parser.add_argument("--work", type=json.loads, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work, arguments.effort)
    for target in arguments.targets:
        kind, _, shape = target.partition(":")
        if target != "lower" and (kind not in CHIPS or not shape.replace("x", "").isdigit()):
            parser.error(f"a target must be lower, or KIND:CHIPS with KIND in {', '.join(CHIPS)}, got {target!r}")
    results = []
    for target in arguments.targets:
        if target != "lower" and importlib.util.find_spec("libtpu") is None:
            print(f"{target}: left out, libtpu is not installed", flush=True)
            continue
        items = [
            {"experiment": experiment, "program": program, "dtype": dtype, "target": target}
            for experiment in arguments.experiments
            for dtype in arguments.dtypes
            if dtype == "float32" or hasattr(experiments.find(experiment).Config().model, "dtype")
            for program in arguments.programs
        ]
        results += supervised(items, arguments.effort, arguments.seconds)
    from jaxgen.runs import environment

    text = table(results)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    print(json.dumps({"environment": dict(environment.describe())}))
    return None


if __name__ == "__main__":
    main()
