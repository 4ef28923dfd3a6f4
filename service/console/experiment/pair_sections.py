"""The part of the page that compares any two registered models on the holdout: layout, callback, words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from bentos.errors import GauntletError
from bentos.registry import Version
from service.console.experiment import pair_figures
from service.console.experiment.naming import short
from service.console.experiment.pairs import Pair, Pairs
from service.console.experiment.tables import paged
from service.console.parts import notice, picture, say, sentence, table, tile, tiles
from service.console.sources import Sources
from validation.gate.comparing import Advice, advise
from validation.gate.wording import interval, number
from validation.pages import Figure

_PREFERRED = ("challenger", "candidate", "champion")


def offline(sources: Sources) -> Component:
    """Where two versions are chosen, and where their comparison will stand."""
    head = [
        html.H2("Two models on the same holdout", id="experiment-offline-title"),
        html.P(
            "Any two registered versions answer the rows that were kept out of both their trainings. For looking: "
            "roles are changed by the gate and by live customers, never here.",
            className="soft",
        ),
    ]
    try:
        versions = sources.registry().versions(sources.model())
    except GauntletError as e:
        return html.Section([*head, notice(sentence(e), is_wrong=True)], className="card whole apart")
    preferred = _preferred(versions)
    if preferred is None:
        too_few = f"{sources.model()} has one model; gauntlet train --folder {sources.folder.path} makes another."
        return html.Section([*head, notice(too_few)], className="card whole apart")
    first, second = preferred
    chooser = html.Div(
        [
            _choice("experiment-first", "First model", versions, first),
            _choice("experiment-second", "Second model", versions, second),
            html.Button("Compare", id="experiment-compare", n_clicks=0),
        ],
        className="bar",
    )
    found = dcc.Loading(html.Div(id="experiment-compared"), delay_show=300, overlay_style={"visibility": "visible"})
    return html.Div(
        [html.Section([*head, chooser], className="card whole apart", **{"aria-labelledby": head[0].id}), found]
    )


def wire(app: Dash, sources: Sources, pairs: Pairs) -> None:
    """Add the callback that compares."""

    @app.callback(
        Output("experiment-compared", "children"),
        Input("experiment-compare", "n_clicks"),
        State("experiment-first", "value"),
        State("experiment-second", "value"),
        running=[(Output("experiment-compare", "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def compare(clicks: int | None, first: str, second: str) -> Any:
        return say(lambda: _compared(sources, pairs, first, second)) if clicks else None


def _compared(sources: Sources, pairs: Pairs, first: str, second: str) -> Component:
    registry = sources.registry()
    chosen = [registry.resolve(uri) for uri in (first, second)]
    champion = registry.find(f"models:/{sources.model()}@champion")
    return shown(pairs.compare(registry, *chosen), champion, str(sources.folder.path))


def shown(pair: Pair, champion: Version | None, folder: str) -> Component:
    """A comparison: advice first, then numbers and pictures.

    Args:
        pair: The comparison.
        champion: Who serves now.
        folder: The installation's.
    """
    names = (short(pair.first), short(pair.second))
    advice = advise(pair.compared, names)
    return html.Div(
        [
            _advice_card(pair, advice, champion, folder),
            _tiles(pair, names),
            html.Div([_drawn(make, pair) for make in _PICTURES], className="cards"),
            _metrics_table(pair, names),
        ],
        className="stack",
    )


_PICTURES: tuple[Callable[[Pair], Figure], ...] = (
    pair_figures.bars,
    pair_figures.radar,
    pair_figures.contingency,
    pair_figures.curves,
    lambda pair: pair_figures.confusion(pair, 0),
    lambda pair: pair_figures.confusion(pair, 1),
)


def _drawn(make: Callable[[Pair], Figure], pair: Pair) -> Component:
    figure = make(pair)
    return picture(figure, figure.name)


def _advice_card(pair: Pair, advice: Advice, champion: Version | None, folder: str) -> Component:
    kind = "notice" if advice.better is None else "notice good"
    rows = [html.P(pair.rows, className="soft" if pair.is_whole else "notice warn")]
    if pair.is_synthetic:
        rows.append(html.P("The rows are SYNTHETIC: nobody among them exists.", className="notice warn"))
    return html.Section(
        [
            html.H2("Recommendation"),
            html.P([html.Strong(advice.says)], className=kind, role="status"),
            html.Ul([html.Li(reason) for reason in advice.reasons]),
            *rows,
            html.P(
                "The more pairs are compared on the same rows, the more differences are found by chance, and these "
                "rows are not tomorrow's customers.",
                className="soft",
            ),
            *_what_follows(pair, advice, champion, folder),
        ],
        className="card whole",
    )


def _what_follows(pair: Pair, advice: Advice, champion: Version | None, folder: str) -> list[Component]:
    """The command that may follow: the better one is judged against the champion; the champion itself is not."""
    if advice.better is None:
        return [html.P("Nothing follows from it.")]
    better = (pair.first, pair.second)[advice.better]
    if champion is not None and better.digest == champion.digest:
        return [html.P(f"{short(better)} is the champion already: nothing is to be done.")]
    against = "" if champion is None else f", against the champion, {short(champion)}"
    return [
        html.P(f"Whether {short(better)} may be tried on live customers is for the gate to say{against}:"),
        html.Pre(html.Code(f"gauntlet gate {better.uri} --folder {folder}"), className="command", tabIndex="0"),
    ]


def _tiles(pair: Pair, names: Sequence[str]) -> Component:
    found = pair.compared
    accuracy, ranks = found.accuracy, found.roc_auc
    return tiles(
        [
            tile("Held-out rows", f"{found.n:,}", f"{found.positive:,} positive; neither model has seen them"),
            tile("Accuracy differs by", f"{accuracy[0]:+.4f}", f"95 %: {accuracy[1]:+.4f} to {accuracy[2]:+.4f}"),
            tile("McNemar, mid-p", f"{found.labels.mid_p:.3g}", f"{found.first_alone:,} rows against "
                 f"{found.second_alone:,}"),
            tile("ROC-AUC differs by", f"{ranks[0]:+.4f}", f"95 %: {ranks[1]:+.4f} to {ranks[2]:+.4f}"),
            tile("DeLong, p", f"{found.ranks.p:.3g}", f"{names[0]} minus {names[1]}"),
        ]
    )  # fmt: skip


def _metrics_table(pair: Pair, names: Sequence[str]) -> Component:
    columns = (
        {"field": "metric", "headerName": "Metric"},
        {"field": "first", "headerName": names[0], "type": "rightAligned"},
        {"field": "first_interval", "headerName": f"{names[0]}, 95 %", "type": "rightAligned"},
        {"field": "second", "headerName": names[1], "type": "rightAligned"},
        {"field": "second_interval", "headerName": f"{names[1]}, 95 %", "type": "rightAligned"},
        {"field": "difference", "headerName": "Difference", "type": "rightAligned"},
    )
    rows = []
    for mine, theirs in zip(*(answers.metrics for answers in pair.compared.answers), strict=True):
        known = mine.value is not None and theirs.value is not None
        rows.append(
            {
                "metric": mine.name,
                "first": number(mine.value),
                "first_interval": interval(mine.low, mine.high),
                "second": number(theirs.value),
                "second_interval": interval(theirs.low, theirs.high),
                "difference": f"{(mine.value or 0) - (theirs.value or 0):+.4f}" if known else "",
            }
        )
    return table(
        "experiment-metrics",
        columns,
        rows,
        title=f"Every metric, n = {pair.compared.n:,}",
        file="comparison",
        **paged(len(rows)),
    )


def _choice(name: str, label: str, versions: Sequence[Version], chosen: Version) -> Component:
    options = [{"value": version.uri, "label": _named(version)} for version in versions]
    dropdown = dcc.Dropdown(id=name, options=options, value=chosen.uri, clearable=False, searchable=False)
    return html.Div([html.Label(label, htmlFor=name), dropdown], className="long")


def _named(version: Version) -> str:
    """A version with its roles and its estimator."""
    estimator = version.tags.get("estimator", "").rpartition(".")[2]
    said = [*version.aliases, *([version.tags["status"]] if "status" in version.tags else [])]
    return ", ".join(part for part in (short(version), estimator, *said) if part)


def _preferred(versions: Sequence[Version]) -> tuple[Version, Version] | None:
    """The challenger or the candidate against the champion; else the two newest; None where there are no two."""
    by_alias = {alias: version for version in versions for alias in version.aliases}
    second = by_alias.get("champion") or next(iter(versions), None)
    others = [*(by_alias[alias] for alias in _PREFERRED if alias in by_alias), *versions]
    first = next((version for version in others if second and version.digest != second.digest), None)
    return (first, second) if first and second else None
