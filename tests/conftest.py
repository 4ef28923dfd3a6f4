"""What every test shares: hypothesis tries the same examples in every run, and logging stays as it was."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("gauntlet", derandomize=True, database=None, deadline=None)
settings.load_profile("gauntlet")


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process sets up the process's logging, which the next test must not see."""
    root, ours = logging.getLogger(), logging.getLogger("gauntlet")
    before = [(one, one.level, list(one.handlers), one.propagate) for one in (root, ours)]
    yield
    for one, level, handlers, propagates in before:
        one.setLevel(level)
        one.handlers[:] = handlers
        one.propagate = propagates
