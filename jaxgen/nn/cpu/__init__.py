"""Forms of the same arithmetic that XLA's CPU compiler runs fast: convolutions and sums, and nothing else.

Everything here is chosen at lowering, for the platform "cpu" alone; GPU and TPU are given lax's own operations, which
their compilers recognise. `JAXGEN_CPU_FORMS=0` in the environment of a process gives them to the CPU as well: the same
values up to the order of sums, for comparing and for versions of XLA that need none of this.
"""

import os

ENABLED = os.environ.get("JAXGEN_CPU_FORMS", "1") != "0"
"""Whether the CPU gets its own forms. Read once: programs that are compiled already would not change."""
