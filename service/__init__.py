"""The data plane: scoring, routing, the prediction log with its store, outcomes and their metrics, all over HTTP.

What lives here answers requests from the models that a Bento carries (`service.entry`, `service.app`), writes every
answer to the spool before it leaves, and moves the spool to the store in a process of its own.
Nothing here knows training or the Kubernetes API, and what scoring imports is numpy, onnxruntime, msgspec and a server.
"""
