"""Images of what `gauntlet package` built and of the checkout: whichever builder is there, the same result.

`contexts` lays out what goes into an image, `engines` drives the builder, `slimming` runs inside the build, `bill` says
what the image holds, and `making` does one after the other.
"""

BASE = "python:3.11-slim"
"""What images are built on where nobody names another."""

KINDS = ("scoring", "jobs")
"""Images that there are; each has a Dockerfile here of its name."""
