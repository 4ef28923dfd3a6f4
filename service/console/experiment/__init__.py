"""The page Experiment: the trial of live customers as its ledger tells it, and any two models on the holdout."""
