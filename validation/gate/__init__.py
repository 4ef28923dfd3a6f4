"""The gate: offline checks of a candidate on its holdout, judged by a policy, beside the champion on the same rows.

`policy` (what is asked), `evidence` (what is judged), `metrics` and `intervals` (what is measured), `checks` (how it is
judged) and `report` (what comes out) are pure; `holdout` and `run` do the I/O and `terminal` draws the report.
A gate that cannot be computed is never a pass.
"""
