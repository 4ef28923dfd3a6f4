"""Observability as code: dashboards, recording rules, alerts and their runbooks, generated here and committed.

What lives here knows the names of metrics (`service.metric_names`) and nothing else of the other planes.
It never reads a store, a model or a cluster: a dashboard is built from names alone.
"""
