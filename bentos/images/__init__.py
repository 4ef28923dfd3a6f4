"""Images of what `gauntlet package` built and of the checkout: whichever builder is there, the same result.

`contexts` lays out what goes into an image, `engines` drives the builder, `slimming` runs inside the build, `bill` says
what the image holds, and `making` does one after the other.
"""

BASE = "python:3.11-slim"
"""What images are built on where nobody names another."""

KINDS = ("scoring", "insight", "jobs")
"""Images that there are; each has a Dockerfile here of its name."""

LIBRARY = "docker.io/library"
"""Where Kubernetes looks for an image whose name says no registry: what is loaded into a node must be called so in
full, as podman and buildah would call it `localhost/…`."""
