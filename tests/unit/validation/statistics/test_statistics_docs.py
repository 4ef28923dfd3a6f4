"""What the docstrings of the statistics promise is run."""

import doctest
import importlib
import pkgutil

import pytest

import validation.statistics as statistics

MODULES = [f"validation.statistics.{module.name}" for module in pkgutil.iter_modules(statistics.__path__)]
FUNCTIONS = [name for name in statistics.__all__ if name.islower()]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_show(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_shows_an_example_and_names_its_errors(name):
    text = getattr(statistics, name).__doc__
    assert ">>> " in text
    assert "Raises:" in text
