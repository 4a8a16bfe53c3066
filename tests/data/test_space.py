"""Storage, unit and signed space."""

import inspect

import jax
import numpy as np
import pytest

from jaxgen.core import Spec
from jaxgen.data import from_signed, to_signed, to_unit

GREY = Spec((2,), "uint8", levels=17)
REAL = Spec((2,), "float32")


@pytest.mark.parametrize("levels", [2, 3, 17, 50, 100, 256])
def test_discrete_data_fill_the_interval_and_do_not_leave_it(levels):
    spec = Spec((), "uint8", levels=levels)
    x = np.arange(levels, dtype=np.uint8)
    unit, signed = jax.jit(lambda x: (to_unit(x, spec), to_signed(x, spec)))(x)
    assert unit.dtype == signed.dtype == np.float32
    exact = np.arange(levels) / (levels - 1)
    np.testing.assert_allclose(unit, exact, atol=2**-23)
    np.testing.assert_allclose(signed, 2 * exact - 1, atol=2**-22)
    # Both ends exactly: 2 x / 255 - 1 as XLA fuses it is 1.0000001 at the top.
    assert (unit[0], unit[-1], signed[0], signed[-1]) == (0, 1, -1, 1)
    assert unit.max() == signed.max() == 1
    # 2 u - 1 and back: each rounds once, on numbers of at most one.
    np.testing.assert_allclose(from_signed(signed, spec), unit, atol=2**-23)


def test_real_data_stay_as_they_are():
    x = np.array([-3.0, 7.5], np.float32)
    for there in (to_unit, to_signed, from_signed):
        np.testing.assert_array_equal(there(x, REAL), x)


def test_samples_beyond_the_interval_are_cut_off_and_nan_is_not_hidden():
    s = np.array([-1.5, 1.5, np.nan], np.float32)
    np.testing.assert_array_equal(from_signed(s, GREY), [0, 1, np.nan])


@pytest.mark.parametrize("there", [to_unit, to_signed])
def test_data_that_were_scaled_already(there):
    with pytest.raises(ValueError, match="x must be in storage dtype uint8, got float32"):
        there(np.zeros(2, np.float32), GREY)


def test_what_is_in_no_space_is_refused():
    spec = Spec((2,), "uint8", 16)
    bare = inspect.unwrap(from_signed)
    with pytest.raises(ValueError, match="x must have a floating dtype, got uint8"):
        bare(np.zeros((1, 2), np.uint8), spec)
    with pytest.raises(ValueError, match="x must be an array in storage dtype uint8, got list"):
        inspect.unwrap(to_unit)([[1, 2]], spec)
