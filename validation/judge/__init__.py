"""The online verdict: closed cohorts of matured customers, what they allow, and carrying it out.

Pure are the policy (`policy`), the counting (`ledger`) and the decision (`verdict`); the store is read and written by
`closing`, roles are changed by `promotion`, and `process` is the judge that runs beside the service.
A verdict that cannot be computed is INVALID, never a promotion.
"""
