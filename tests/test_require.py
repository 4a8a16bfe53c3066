"""The one way to refuse an argument."""

import jax
import numpy as np
import pytest

from jaxgen import require


@pytest.mark.parametrize("value", [0, 7, np.int32(7), np.uint8(7)])
def test_an_integer_in_range_is_itself(value):
    assert require.integer("n", value, 0, 7) == value


@pytest.mark.parametrize("value", [2.0, True, np.True_, "2", None, float("nan"), -1, 8, np.float32(2), [2]])
def test_what_is_no_integer_in_range_is_refused(value):
    with pytest.raises(ValueError, match=r"n must be an integer in 0\.\.7, got"):
        require.integer("n", value, 0, 7)


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.5)])
def test_a_number_in_range_is_itself(value):
    assert require.number("p", value, 0, 1) == float(value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5", None, np.zeros(2)])
def test_what_is_no_finite_number_in_range_is_refused(value):
    with pytest.raises(ValueError, match="p must be a finite number at least 0 and at most 1, got"):
        require.number("p", value, 0, 1)


def test_open_ends_are_not_allowed_themselves():
    for value in (0, 1):
        with pytest.raises(ValueError, match="p must be a finite number above 0 and below 1, got"):
            require.number("p", value, above=0, below=1)
    assert require.number("p", 0.5, above=0, below=1) == 0.5


@pytest.mark.parametrize("value", [0, None, np.zeros(2, np.uint32), "key"])
def test_what_is_no_typed_key_is_refused(value):
    with pytest.raises(ValueError, match="key must be one typed key"):
        require.typed_key("key", value)


def test_several_keys_are_not_one():
    require.typed_key("key", jax.random.key(0))
    with pytest.raises(ValueError, match="key must be one typed key"):
        require.typed_key("key", jax.random.split(jax.random.key(0)))
