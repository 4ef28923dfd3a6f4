"""The demo: a model's whole life on one machine, on real parts, told in a line or two a step.

`story` tells it, `traffic` plays the customers over HTTP, and `stage` is where the planes meet: a composition root, so
it alone may import all of them.
Nothing imports this package but the command line, and no Bento carries it.
"""
