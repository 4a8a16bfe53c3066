"""Several processes of one command, as on several hosts."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from processes import xla_flags

ROOT = Path(__file__).parents[1]
FLAGS = ("--batch-size", "16", "--model.hidden", "8", "--model.latent-dim", "2", "--log-every", "2")
MAIN = "import sys; from jaxgen.cli import main; sys.exit(main())"
HEARTBEAT = 10
WAIT = 150


class Together:
    """Processes of one command, each with a device, and what they said.

    Args:
        command: Words after `jaxgen`.
        count: Number of processes.
        each: (number) -> further words of that process.
        before: (number) -> Python code that it runs first.
        folder: (number) -> folder that it imports jaxgen from.
    """

    def __init__(self, *command, count=2, each=lambda _: (), before=lambda _: "", folder=lambda _: ROOT):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.processes = [
            subprocess.Popen(
                [
                    *(
                        sys.executable,
                        "-c",
                        f"{before(number)}\nimport sys; from jaxgen.cli import main; sys.exit(main())",
                    ),
                    *(*command, *each(number)),
                    *("--hosts.coordinator", f"127.0.0.1:{port}", "--hosts.num-processes", str(count)),
                    *("--hosts.process-id", str(number), "--hosts.heartbeat", str(HEARTBEAT)),
                ],
                cwd=folder(number),
                env={**os.environ, "XLA_FLAGS": xla_flags(), "PYTHONPATH": str(folder(number))},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for number in range(count)
        ]

    def until(self, path):
        """Wait for a file of theirs."""
        end = time.monotonic() + WAIT
        while not path.exists():
            assert time.monotonic() < end, f"{path} does not come"
            assert any(process.poll() is None for process in self.processes), self.ended()
            time.sleep(0.05)

    def ended(self):
        """Exit codes and outputs."""
        try:
            outputs = [process.communicate(timeout=WAIT)[0] for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        return [process.returncode for process in self.processes], outputs


def train(run, *more, steps=4, **options):
    """Processes that train a tiny model in a folder; `options` are those of `Together`."""
    every = str(max(steps // 2, 2))
    command = ("train", "digits_vae", "--run", str(run), "--steps", str(steps), "--checkpoint-every", every)
    return Together(*command, *FLAGS, *more, **options)


def assert_all_say(processes, *said):
    """Every process has ended by an error that the user can mend, in these words."""
    codes, outputs = processes.ended()
    assert codes == [2] * len(codes), outputs
    for output in outputs:
        assert all(text in output for text in said), outputs
