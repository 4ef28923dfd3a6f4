"""Training: from a data file and a use case to a registered model artifact.

What lives here reads and validates data, fits estimators, converts them to ONNX, proves that both forms give the same
answers, and tracks every run in MLflow.
No HTTP, no Kubernetes, no judgement of a model and no serving code is imported here: what the other planes need of a
model is in the artifact that training writes.
"""
