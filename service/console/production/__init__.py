"""The page Production."""
