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


def test_a_number_is_one_in_float32_too():
    for value, limits in ((1e39, {}), (10**400, {}), (1e-60, {"above": 0}), (1 - 1e-12, {"below": 1})):
        with pytest.raises(ValueError, match="p must be a finite number"):
            require.number("p", value, **limits)


def test_sizes_are_integers_that_a_device_can_count():
    assert require.sizes("widths", [8, np.int32(16)], multiple=8) == (8, 16)
    for values in ("12", 7, None, (2.5,), (True,), (0,), (2**31,), ("8",)):
        with pytest.raises(ValueError, match="widths must hold integers of at least 1, got"):
            require.sizes("widths", values)
    with pytest.raises(ValueError, match="widths must hold 1 or more multiples of 8 of at least 8, got"):
        require.sizes("widths", (), 8, fewest=1, multiple=8)
    with pytest.raises(ValueError, match="steps must be an integer of at most 2147483647, got 2147483648"):
        require.size("steps", 2**31)
    with pytest.raises(ValueError, match="features must be an even integer of at least 4, got 5"):
        require.even("features", 5, 4)


@pytest.mark.parametrize("value", [2**32, -1, 0.0, True, None, 2**63])
def test_what_is_no_seed_is_refused(value):
    with pytest.raises(ValueError, match=r"seed must be an integer in 0\.\.4294967295, got"):
        require.seed("seed", value)


@pytest.mark.parametrize("value", [3, True, 1.0, "1", None])
def test_what_is_none_of_a_few_is_refused(value):
    assert require.one_of("order", 1, (1, 2)) == 1
    with pytest.raises(ValueError, match="order must be 1 or 2, got"):
        require.one_of("order", value, (1, 2))
