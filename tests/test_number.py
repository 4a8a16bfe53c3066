"""Numbers with as many digits as their errors leave them."""

import math

import pytest

from jaxgen.cli import show
from jaxgen.core import Estimate
from jaxgen.number import text


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (543.2, 103.4, "540 ± 100"),  # was "543 +- 1e+02"
        (543.2, 98.0, "543 ± 98"),
        (86.4213, 0.3149, "86.42 ± 0.31"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (0.5, 0.00012345, "0.50000 ± 0.00012"),
        (-0.001, 5.0, "0.0 ± 5.0"),
        (85_033_244.0, 1_234_567.0, "(8.50 ± 0.12)e+07"),
        (2.5e-9, 1.2e-10, "(2.50 ± 0.12)e-09"),
        (1.0, 1e-12, "1 ± 1.0e-12"),
        (0.25, 0.0, "0.25 ± 0"),
        (12_345.0, None, "12345"),
        (0.123456, None, "0.1235"),
        (0.9, None, "0.9"),
        (1.0, None, "1"),
        (0.0, None, "0"),
        (85_033_244.0, None, "8.503e+07"),
        (9999.9, None, "10000"),
        (2.0, math.nan, "2"),
        (math.nan, 0.1, "nan ± 0.1"),
        (-math.inf, None, "-inf"),
        (3.0, math.inf, "3 ± inf"),
    ],
)
def test_digits_by_the_error(value, error, expected):
    assert text(value, error) == expected


def test_an_estimate_as_text():
    assert Estimate(86.4213, 0.3149, "nats").text == "86.42 ± 0.31"
    assert Estimate(0.125).text == "0.125"


def test_tables_of_the_command_line_have_these_digits():
    table = show.results({"test": {"distance": Estimate(543.2, 103.4, "nats"), "share": Estimate(0.125)}}, "run")
    assert list(table.columns[1].cells) == ["540 ± 100", "0.125"]
