"""Drift from the store: what came in a window against a model's reference, for users who have no Prometheus.

`comparing` and `limits` are pure and hold the rules; `counting` reads the store, in the bins and by the code with which
scoring counts; `models` reads the references of what a Bento carries. Alerts and dashboards compute the same in
Prometheus, from `grafana/drift`. Nothing here knows HTTP, Prometheus or how a model was trained.
"""
