"""The page Gate."""
