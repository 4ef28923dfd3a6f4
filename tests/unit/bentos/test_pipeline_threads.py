"""How many threads gradient boosting takes: one, and nobody looks for more where the process was started with one."""

import pytest

from bentos.pipeline import one_openmp_thread


@pytest.mark.parametrize(("told", "expected"), [("1", 0), ("2", 1), (None, 1)])
def test_libraries_are_looked_for_only_where_there_may_be_more_threads(told, expected, monkeypatch):
    looked = []

    class Limits:
        def __init__(self, *, limits, user_api):
            looked.append((limits, user_api))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("threadpoolctl.threadpool_limits", Limits)
    if told is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    with one_openmp_thread():
        pass
    assert looked == [(1, "openmp")] * expected
