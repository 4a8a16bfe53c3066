"""Facts about compiled programs, against programs whose facts are known."""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen.train import compiled, parallel


def test_a_sum_over_devices_is_an_all_reduce_of_its_size():
    mesh = parallel.mesh(4)
    total = jax.jit(lambda x: x.sum(0), in_shardings=parallel.sharded(mesh), out_shardings=parallel.replicated(mesh))
    program = total.lower(jax.ShapeDtypeStruct((8, 5), jnp.float32)).compile()
    assert compiled.collectives(program) == [compiled.Collective("all-reduce", 5 * 4)]
    # Two of the eight rows on each device, and the sum.
    assert compiled.bytes_per_device(program) >= 2 * 5 * 4 + 5 * 4


def test_memory_falls_where_an_argument_is_divided():
    mesh = parallel.mesh(4)
    x = jax.ShapeDtypeStruct((4096, 16), jnp.float32)
    needed = [
        compiled.bytes_per_device(jax.jit(lambda x: 2 * x, in_shardings=s, out_shardings=s).lower(x).compile())
        for s in (NamedSharding(mesh, PartitionSpec()), parallel.sharded(mesh))
    ]
    assert needed[0] >= 2 * 4096 * 16 * 4 > 3 * needed[1]


def test_every_form_in_which_collectives_are_written():
    """Lines as XLA writes them for a TPU: layouts with tiles, tuples, and exchanges that are started and awaited."""
    text = """
      %a = f32[64,3]{1,0:T(8,128)} all-reduce(%x), channel_id=1
      %b = (f32[2]{0:T(256)}, bf16[3,4]{1,0:T(8,128)(2,1)S(1)}) all-reduce-start(%x, %y), channel_id=2
      %c = (f32[2]{0}, bf16[3,4]{1,0}) all-reduce-done(%b)
      %d = (u8[8]{0}, u8[32]{0}) all-gather-start(%z), dimensions={0}
      %e = pred[16]{0} collective-permute(%z)
      %f = f32[] fusion(%all-reduce.1), calls=%all-reduce-computation
    """
    found = [(c.kind, c.bytes) for c in compiled.collectives(text)]
    assert found == [("all-reduce", 768), ("all-reduce", 8 + 24), ("all-gather", 32), ("collective-permute", 16)]


def test_an_exchange_that_is_spread_over_fusions_counts_once():
    """As XLA writes it for a TPU: the same channel where the exchange begins, goes on and ends."""
    text = """
      %g.1 = f32[4,4]{1,0} all-gather(%p.1), channel_id=30, dimensions={0}
      ROOT %c.1 = (f32[1,4]{1,0}, f32[4,4]{1,0}) custom-call(%g.1), custom_call_target="AsyncCollectiveStart"
      %g.2 = f32[4,4]{1,0} all-gather(%p.2), channel_id=30, dimensions={0}
      %g.3 = f32[4,4]{1,0} all-gather(%p.3), channel_id=27, dimensions={0}
      %s.1 = f32[8]{0} all-reduce(%p.4), replica_groups={{0,1}}
      %s.2 = f32[8]{0} all-reduce(%p.5), replica_groups={{0,1}}
    """
    found = [(c.kind, c.bytes) for c in compiled.collectives(text)]
    assert found == [("all-gather", 64), ("all-gather", 64), ("all-reduce", 32), ("all-reduce", 32)]
