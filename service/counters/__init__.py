"""Counters in shared memory: which slot counts what, the mapped file of each worker, and the sum of all as text.

The layout is values in, values out; `file` and `reading` alone touch the disk, and need neither numpy nor a model, so
that the parent of the workers can read their heartbeats. Nothing here knows HTTP, the spool or how a customer is
scored.
"""
