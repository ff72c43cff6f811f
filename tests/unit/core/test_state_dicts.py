import numpy as np
import pytest

from workflow_scripts.core.state_dicts import first_misfit

OWN = {"a": np.zeros((2, 3)), "b": np.zeros(4)}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None),
        ({"b": None}, ("b", "is missing")),
        ({"b": np.zeros((4, 1))}, ("b", "is [4, 1] instead of [4]")),
        ({"c": np.zeros(1)}, ("c", "has no place in the model")),
        ({"c": np.zeros(1), "a": np.zeros(6)}, ("a", "is [6] instead of [2, 3]")),
        ({"b": np.ones(4)}, None),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(changed, problem):
    found = {name: value for name, value in (OWN | changed).items() if value is not None}
    assert first_misfit(OWN, found) == problem
