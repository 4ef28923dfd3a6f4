"""Judgement: the gate before a rollout (`validation.gate`) and the verdict during it (`validation.judge`).

The statistics and the rules are pure: values in, values out, with clock and seed as arguments; two shells do the I/O,
the gate's (registry, reports) and the judge's (the store).
No HTTP framework, no Kubernetes and no training code is imported here.
"""
