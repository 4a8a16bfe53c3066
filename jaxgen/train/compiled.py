"""Facts about a compiled program: what its devices send one another, and the memory that each of them needs.

    step = jax.jit(model.step, in_shardings=(replicated, replicated, sharded))
    compiled = step.lower(key, state, batch).compile()
    collectives(compiled)               [Collective("all-reduce", 1024), ..]
    bytes_per_device(compiled)          arguments, results and temporary arrays

Nothing has to run for it, so that a program for chips that are not at hand can be looked at as well.
"""

import math
import re
from typing import Any, NamedTuple

KINDS = (
    "all-reduce",
    "all-gather",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
    "collective-broadcast",
    "ragged-all-to-all",
)
"""Names that XLA has for what devices send one another."""

_INSTRUCTION = re.compile(rf"= (\(.*?\)|\S+) ({'|'.join(KINDS)})(-start)?\((?:.*?\bchannel_id=(\d+))?")
_SHAPE = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One exchange between devices.

    Attributes:
        kind: Name of the operation, of `KINDS`.
        bytes: Size of its result on each device.
    """

    kind: str
    bytes: int


def collectives(compiled: Any) -> list[Collective]:
    """The collectives of a compiled program, one for each time that they stand in it; a loop's body stands there once.

    An exchange that a TPU makes beside other work is written several times over, once in each of the fusions that it
    begins, goes on and ends in. The number of its channel says that they are one.

    Args:
        compiled: Result of `jax.jit(..).lower(..).compile()`, or its text.
    """
    text = compiled if isinstance(compiled, str) else compiled.as_text() or ""
    exchanges: dict[Any, Collective] = {}
    for i, (shapes, kind, start, channel) in enumerate(_INSTRUCTION.findall(text)):
        size = _size(shapes, last=bool(start) and kind != "all-reduce")
        exchanges.setdefault((kind, channel) if channel else i, Collective(kind, size))
    return list(exchanges.values())


def bytes_per_device(compiled: Any) -> int:
    """Memory that the program needs on each device: arguments, results, temporary arrays and its code.

    Args:
        compiled: Result of `jax.jit(..).lower(..).compile()`.
    """
    found = compiled.memory_analysis()
    counted = ("argument", "output", "temp", "generated_code")
    return sum(getattr(found, f"{name}_size_in_bytes") for name in counted) - found.alias_size_in_bytes


def _size(shapes: str, last: bool) -> int:
    """Bytes of a result; what starts an exchange other than a sum lists its operand before its result."""
    sizes = [
        math.prod(int(n) for n in axes.split(",") if n) * int(bits or 8) // 8
        for _, bits, axes in _SHAPE.findall(re.sub(r"\{[^}]*\}", "", shapes))
    ]
    return sizes[-1] if last and sizes else sum(sizes)
