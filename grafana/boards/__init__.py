"""Dashboards: what all of them share (`board`, `panels`, `picking`) and a module for each."""
