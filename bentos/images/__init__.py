"""Images of what `gauntlet package` built and of the checkout: whichever builder is there, the same result.

`contexts` lays out what goes into an image, `engines` drives the builder, `slimming` runs inside the build, `bill` says
what the image holds, and `making` does one after the other.
"""
