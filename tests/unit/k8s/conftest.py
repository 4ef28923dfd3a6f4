"""What several of the control plane's tests need."""

import pytest

from k8s.running import Ran


@pytest.fixture
def jobs(monkeypatch):
    """Jobs that were run; what each ends with is to be filled in by its first word."""
    ran, ends = [], {}

    def run_on(_cluster, cron, words, **_):
        ran.append((cron, words))
        code, output = ends[words[0]]
        return Ran(job="j", exit_code=code, output=output, last_words="", commands=())

    monkeypatch.setattr("k8s.rollout.run_on", run_on)
    return ran, ends
