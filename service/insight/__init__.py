"""Insight: why a customer is scored as they are, answered by a process of its own behind scoring's `/v1/explain`.

What lives here loads the Bento's models as scikit-learn pipelines, gives SHAP values for the contract's features and
says them in words; its own workers do that, so that a row that takes too long costs nobody else anything.
Nothing else may import it: scikit-learn and shap never come near a scoring worker, and no model is made or judged here.
"""
