"""OpenMetrics 1.0.0: Prometheus's classic text with exemplars behind samples, and three rules that it has not.

A counter's family is named without `_total`, quotes in explanations are escaped, and the last line says that it is the
last. Names, labels and values are the same, so it is one series whichever form is scraped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from service.counters.exemplars import Exemplar

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def open_metrics(lines: Iterable[str], exemplars: Mapping[str, Exemplar]) -> Iterator[str]:
    """The lines of the classic form in OpenMetrics's.

    Args:
        lines: As `service.counters.text` makes them: a family's two lines before its samples are one.
        exemplars: By the sample's line up to its value.
    """
    for line in lines:
        if line.startswith("#"):
            yield _head(line)
            continue
        found = exemplars.get(line[: line.rindex(" ") + 1])
        yield line if found is None else f"{line} {_behind(found)}"
    yield "# EOF"


def _head(lines: str) -> str:
    explained, typed = lines.split("\n")
    _, _, name, text = explained.split(" ", 3)
    kind = typed.rpartition(" ")[2]
    if kind == "counter":
        name = name.removesuffix("_total")
    escaped = text.replace('"', r"\"")
    return f"# HELP {name} {escaped}\n# TYPE {name} {kind}"


def _behind(found: Exemplar) -> str:
    return f'# {{prediction_id="{found.prediction_id}"}} {found.seconds!r} {found.at:.3f}'
