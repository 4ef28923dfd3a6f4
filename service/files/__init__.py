"""Scoring files: a Parquet or CSV file in, a Parquet file of answers out, in constant memory, resumable, in shards.

`scoring` puts it together; `sharing` says who scores which rows, `reading` and `ids` read them, `encoding` and `chunks`
score them, `places`, `parts` and `work` write what a kill at any moment leaves whole, `summing` and `comparing` check
it once all shards are done.
It needs pyarrow, so it is no part of the scoring Bento; what it answers is in no prediction log and is never evidence.
"""
