"""The package: the model artifact that every plane shares, the registry it comes from, and the Bentos it is served in.

What lives here reads and writes artifacts (`bentos.artifact`), keeps versions of them in MLflow (`bentos.registry`) and
packs a champion with its challengers into a Bento (`bentos.packing`).
Nothing here knows an HTTP route or a statistic, and `bentos.artifact` imports numpy and onnxruntime alone, because the
scoring path carries it.
"""
