"""The Open Inference Protocol V2 over HTTP, so that clients of KServe and Triton work unchanged.

A request's tensors become rows of the contract (`tensors`, `binary`, `reading`, `columns`), which are decided, scored
and logged like every other row (`scoring`), and the answers become tensors again (`answering`). The model's name is the
contract's. Without a version a row gets the answer that the experiment routes it to; with one that model's own word.
"""
