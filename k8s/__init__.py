"""The control plane: the kustomize manifests that put every process of Gauntlet on Kubernetes, and what drives them.

What lives here speaks to Kubernetes, reads verdicts from `validation` and the store, and changes the experiment file.
It never imports bentoml or scikit-learn: images are built elsewhere and named here by digest.
"""
