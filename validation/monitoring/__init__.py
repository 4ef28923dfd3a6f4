"""Watching a champion after its promotion: traffic, drift, truths, its risk beside its blessing.

What lives here looks at the store and the registry once and says what a person should know, for a schedule that opens
an issue. It changes nothing; alerts that must be heard within minutes are Prometheus's.
"""
