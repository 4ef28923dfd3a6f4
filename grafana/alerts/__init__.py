"""Alerts that are not of drift: promises that are broken, processes, the experiment, and the models."""
