"""The console: what people look at, as pages over the store, MLflow and the service's own HTTP API.

A process and a composition root of its own: it may import every plane, and nothing but the command line imports it.
It never lies on the scoring path: whatever it cannot read it says on the page, and scoring does not notice.
"""
