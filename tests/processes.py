"""The environment of the processes that tests start."""

import os


def xla_flags() -> str:
    """The flags of the tests' own process, but one device, as a user has."""
    return " ".join(flag for flag in os.environ["XLA_FLAGS"].split() if "device_count" not in flag)
