"""One process alone needs no other, and flags about several are checked before anyone is waited for."""

import jax
import pytest

from jaxgen.cli import main
from jaxgen.train import parallel
from jaxgen.train.hosts import ALONE, HostError, LostHostError, agreed, everyone, of


def test_alone_every_method_is_a_plain_call():
    assert everyone() == ALONE == of(None) == of(parallel.mesh(2))
    assert ALONE.leads
    assert ALONE.together(lambda: 3, lambda x: 2 * x) == (3, [6])
    assert ALONE.first(lambda: "a") == "a"
    assert ALONE.any(None) is None
    tree = {"x": jax.numpy.ones(2)}
    assert ALONE.own(tree) is tree
    with pytest.raises(KeyError, match="mine"), ALONE.agreeing():
        raise KeyError("mine")


def test_an_error_that_all_know_is_known_in_other_words_too():
    assert agreed(HostError("full")) and not agreed(LostHostError("gone")) and not agreed(ValueError("new"))
    for error in (HostError("full"), LostHostError("gone")):
        try:
            try:
                raise error
            except OSError as first:
                raise OSError("no space") from first
        except OSError as second:
            assert agreed(second) == (not isinstance(error, LostHostError))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--hosts.coordinator", "127.0.0.1:99"], "need --hosts.num-processes, --hosts.process-id too"),
        (["--hosts.coordinator", "a", "--hosts.num-processes", "2", "--hosts.process-id", "0"], "HOST:PORT, got 'a'"),
        (["--hosts.coordinator", "a:9", "--hosts.num-processes", "2", "--hosts.process-id", "2"], "process_id must"),
        (["--hosts.heartbeat", "0"], "hosts.heartbeat must be an integer in 2..2147483647, got 0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [["train", "digits_vae"], ["resume", "nowhere"]])
def test_flags(flags, said, command, capsys):
    assert main([*command, *flags]) == 2
    assert said in capsys.readouterr().err
