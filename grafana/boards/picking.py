"""PromQL put together: series picked by name and labels, and joined where a metric says of another what it means."""

from __future__ import annotations

from service import metric_names as names

NAMESPACE = 'namespace=~"$namespace"'
MODEL = 'model=~"$model"'
VARIANT = 'variant=~"$variant"'


def pick(name: str, *matchers: str, **equal: str) -> str:
    """A selector.

    Args:
        name: Of the metric.
        matchers: As they are written in PromQL.
        equal: Labels and their values.

    >>> pick("up", NAMESPACE, job="gauntlet")
    'up{namespace=~"$namespace",job="gauntlet"}'
    """
    inside = ",".join((*matchers, *(f'{label}="{value}"' for label, value in equal.items())))
    return f"{name}{{{inside}}}" if inside else name


def increased(name: str, window: str, *matchers: str, by: str = "", **equal: str) -> str:
    """By how much a counter rose within a window, over all pods."""
    return f"sum{_by(by)} (increase({pick(name, *matchers, **equal)}[{window}]))"


def rate(name: str, *matchers: str, by: str = "", **equal: str) -> str:
    """How fast a counter rises, over all pods."""
    return f"sum{_by(by)} (rate({pick(name, *matchers, **equal)}[$__rate_interval]))"


def worst(name: str, *matchers: str, how: str = "max", by: str = "", **equal: str) -> str:
    """What one pod says of itself, where the highest (or with `how="min"` the lowest) counts for all."""
    return f"{how}{_by(by)} ({pick(name, *matchers, **equal)})"


def quantile(q: float, name: str, *matchers: str, by: str) -> str:
    """A quantile of a histogram, over all pods."""
    return f"histogram_quantile({q:g}, {rate(f'{name}_bucket', *matchers, by=f'{by}, le')})"


def positives(series: str) -> str:
    """Only the samples whose label is the one that the contract calls positive; they must keep namespace and label."""
    known = f'label_replace({pick(names.MODEL_INFO, NAMESPACE)}, "label", "$1", "positive", "(.*)")'
    return f"({series} and on (namespace, label) {known})"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
