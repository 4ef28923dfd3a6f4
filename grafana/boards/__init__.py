"""Dashboards: what all of them share (`board`, `panels`, `picking`) and a module for each.

They are of the classic form, which every Grafana imports from a file or a ConfigMap; the SDK would rather have the
newer one, which only Grafana 12 and later know, and says so whenever it is imported.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import bargauge, dashboard  # noqa: F401
