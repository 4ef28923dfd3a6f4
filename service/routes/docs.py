"""The page at `/docs`: the routes and the contract in plain HTML, with nothing fetched from elsewhere and no script."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from html import escape

from bentos.artifact import Contract, Numeric
from service.http.messages import Route

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
pre { background: #8882; padding: .8rem; overflow-x: auto; }
code { font: .9em ui-monospace, monospace; }
"""


def render_docs(routes: Sequence[Route], contract: Contract) -> str:
    """The page.

    Args:
        routes: Those with an operation are shown.
        contract: What requests are checked by.
    """
    shown = [route for route in routes if route.operation]
    title = f"Gauntlet: {contract.name}"
    return "".join(
        (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">',
            f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
            f"<p>Scores <b>{escape(contract.id)}</b> for <b>{escape(contract.target)}</b>: the probability of ",
            f"<b>{escape(contract.labels.positive)}</b>. ",
            "Machines read <a href='/docs/openapi.json'>/docs/openapi.json</a>.</p>",
            "<h2>Routes</h2><table>",
            *(_route_row(route) for route in shown),
            "</table>",
            *(line for route in shown if "requestBody" in route.operation for line in _examples(route)),
            "<h2>Features</h2><table><tr><th>Name</th><th>What is allowed</th><th>What it is</th></tr>",
            *_feature_rows(contract),
            "</table><h2>Risk bands</h2><table><tr><th>Band</th><th>From probability</th></tr>",
            *(_cells(band.name, f"{band.from_probability:g}") for band in contract.risk_bands),
            "</table></body></html>",
        )
    )


def _route_row(route: Route) -> str:
    return f"<tr><td><code>{route.method} {escape(route.path)}</code></td><td>{escape(route.summary)}</td></tr>"


def _examples(route: Route) -> Iterator[str]:
    """A command for each way in which the route's body may be sent."""
    yield f"<h3><code>{route.method} {escape(route.path)}</code></h3>"
    if "description" in route.operation:
        yield f"<p>{escape(route.operation['description'])}</p>"
    for kind, content in route.operation["requestBody"]["content"].items():
        if "example" in content:
            command = _command(route.path, kind, content["example"])
            yield f"<pre><code>{escape(command)}</code></pre>"


def _command(path: str, kind: str, example: object) -> str:
    """What can be pasted into a shell."""
    body = example if isinstance(example, str) else json.dumps(example, indent=2)
    send = "--data-binary" if isinstance(example, str) else "-d"
    return f"curl -s http://HOST:PORT{path} -H 'content-type: {kind}' {send} {shlex.quote(body)}"


def _feature_rows(contract: Contract) -> Iterator[str]:
    for feature in contract.features:
        kind = "numeric" if isinstance(feature, Numeric) else "categorical"
        yield _cells(feature.name, feature.allowed, feature.description or kind)


def _cells(*texts: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in texts) + "</tr>"
