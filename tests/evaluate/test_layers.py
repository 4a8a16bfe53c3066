import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import evaluate


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        h = nn.Conv(3, (1, 1), name="first")(x)
        return nn.Dense(2)(nn.relu(h).mean(axis=(1, 2)))


def test_outputs_of_layers_by_their_paths(key):
    x = jax.random.normal(key, (5, 4, 4, 1))
    variables = Net().init(key, x, False)
    found = evaluate.layer_outputs(Net(), variables, x, train=False)
    assert set(found) == {"first", "Dense_0"}
    kernel = variables["params"]["first"]["kernel"][0, 0]
    np.testing.assert_allclose(found["first"], (x @ kernel).mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["Dense_0"], Net().apply(variables, x, False), rtol=1e-5)
    np.testing.assert_array_equal(evaluate.layer_features(Net(), "first")(variables, x, False), found["first"])
    whole = evaluate.layer_features(Net(), "first", averaged=False)(variables, x, False)
    np.testing.assert_allclose(whole.reshape(5, 16, 3).mean(axis=1), found["first"], rtol=1e-5, atol=1e-6)


def test_a_layer_that_is_not_there(key):
    x = jnp.zeros((2, 4, 4, 1))
    variables = Net().init(key, x, False)
    with pytest.raises(ValueError, match=r"layer must be one of the network's, got 'frist'.*first"):
        evaluate.layer_features(Net(), "frist")(variables, x, False)
