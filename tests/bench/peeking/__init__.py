"""Simulated experiments that are looked at after every cohort, and the rules that judge them.

`scenarios` draws what happens to customers, `rules` are Gauntlet's own statistics and the naive ones beside them; both
work on many runs at once. `tests/bench/type_one.py` prints how often each rule errs.
"""
