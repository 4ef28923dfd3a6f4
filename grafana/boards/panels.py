"""Panels as every dashboard has them: each with a description, a unit, thresholds, and colours that mean one thing.

The colours are those of the gate's pages. Blue against orange against red is told apart by nearly every eye, and no
colour stands alone: states have their word, limits their line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmaps
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

GOOD, WARN, BAD, GREY = "#2563eb", "#d97706", "#dc2626", "#9ca3af"
CHALLENGER, CHAMPION, BOUND = GOOD, WARN, BAD
"""As in the gate's pages: whoever is judged, whom it is compared with, and what must not be crossed."""

SOURCE = kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")
GRID_WIDTH = 24

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first from None."""

PLAIN: Steps = ((None, GOOD),)
NONE_IS_GOOD: Steps = ((None, GOOD), (1e-9, BAD))
ONE_IS_GOOD: Steps = ((None, BAD), (1, GOOD))

Panel = Builder[models.Panel]


@dataclass(frozen=True)
class Query:
    """One expression of a panel.

    Attributes:
        expr: PromQL with Grafana's variables.
        legend: Of its series, with labels in double braces.
        now: Whether only the last moment is asked for.
        format: How Grafana reads the answer.
        exemplars: Whether single requests are shown too, where the buckets asked for have some.
    """

    expr: str
    legend: str = ""
    now: bool = False
    format: PromQueryFormat = PromQueryFormat.TIME_SERIES
    exemplars: bool = False


@dataclass(frozen=True)
class Look:
    """What is true of every kind of panel.

    Attributes:
        unit: Grafana's name of the unit.
        steps: Its thresholds.
        width: In 24ths of the page.
        height: In rows of the grid.
        decimals: After the point; None as Grafana likes.
        low: Lower end of the axis.
        high: Upper end of the axis.
        words: What values are called, with their colour.
        nothing: What stands there where there is no sample; None for Grafana's own words.
    """

    unit: str = "short"
    steps: Steps = PLAIN
    width: int = 8
    height: int = 8
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    words: Mapping[str, tuple[str, str]] | None = None
    nothing: str | None = None


class _Common(Protocol):
    """What the builders of all kinds of panels have, as far as it is used here."""

    def title(self, title: str) -> object: ...
    def description(self, description: str) -> object: ...
    def datasource(self, datasource: kinds.DataSourceRef) -> object: ...
    def grid_pos(self, grid_pos: models.GridPos) -> object: ...
    def unit(self, unit: str) -> object: ...
    def thresholds(self, thresholds: Builder[models.ThresholdsConfig]) -> object: ...
    def decimals(self, decimals: float) -> object: ...
    def min(self, min_val: float) -> object: ...
    def max(self, max_val: float) -> object: ...
    def mappings(self, mappings: list[models.ValueMapping]) -> object: ...
    def no_value(self, no_value: str) -> object: ...
    def with_target(self, target: prometheus.Dataquery) -> object: ...


_P = TypeVar("_P", bound=_Common)


def number(title: str, query: Query, says: str, look: Look, *, shows_name: bool = False) -> stat.Panel:
    """One number or word, on the colour that its threshold gives."""
    mode = kinds.BigValueTextMode.NAME if shows_name else kinds.BigValueTextMode.AUTO
    return (
        _made(stat.Panel(), title, [query], says, look)
        .color_mode(kinds.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .text_mode(mode)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def state(title: str, query: Query, says: str, colours: Mapping[str, str], *, width: int = 4) -> stat.Panel:
    """A word: the legend of the one series that is there, on the word's colour."""
    panel = number(title, query, says, Look(width=width, height=4, unit="none"), shows_name=True)
    for word, colour in colours.items():
        panel = panel.override_by_name(word, [_property("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def lines(title: str, queries: Sequence[Query], says: str, look: Look, *, limits: bool = False) -> timeseries.Panel:
    """Lines over time; with `limits` the thresholds are drawn too."""
    panel = (
        _made(timeseries.Panel(), title, queries, says, look)
        .line_width(2)
        .fill_opacity(0)
        .show_points(kinds.VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    if not limits:
        return panel
    return panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))


def bars(title: str, queries: Sequence[Query], says: str, look: Look, *, every: str) -> timeseries.Panel:
    """Stacked bars over time, one for each step of `every`."""
    stacking = common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A")
    return (
        lines(title, queries, says, look)
        .draw_style(kinds.GraphDrawStyle.BARS)
        .fill_opacity(70)
        .stacking(stacking)
        .interval(every)
    )


def band(panel: timeseries.Panel, lower: str, upper: str, colour: str = GREY) -> timeseries.Panel:
    """Fill what lies between two of a panel's series, named by their legends."""
    quiet = [_property("custom.lineWidth", 1), _property("color", {"mode": "fixed", "fixedColor": colour})]
    filled = [_property("custom.fillBelowTo", lower), _property("custom.fillOpacity", 20)]
    return panel.override_by_name(lower, quiet).override_by_name(upper, [*quiet, *filled])


def coloured(panel: timeseries.Panel, colours: Mapping[str, str], *, dashed: Sequence[str] = ()) -> timeseries.Panel:
    """Give series their colours by how their legends begin, and some of them a dashed line."""
    for start, colour in colours.items():
        style = [_property("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})] if start in dashed else []
        fixed = _property("color", {"mode": "fixed", "fixedColor": colour})
        panel = panel.override_by_regexp(f"/^{start}/", [fixed, *style])
    return panel


def by_name(panel: timeseries.Panel) -> timeseries.Panel:
    """Give series of one name the same colour in every panel."""
    return panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))


def heat(title: str, query: Query, says: str, look: Look, *, axis: str) -> heatmap.Panel:
    """A histogram over time: darker for fewer, brighter for more, in a scale that every eye reads alike."""
    colours = heatmap.HeatmapColorOptions().mode(heatmaps.HeatmapColorMode.SCHEME).scheme("Cividis").steps(64)
    return (
        _made(heatmap.Panel(), title, [query], says, look)
        .calculate(False)
        .color(colours)
        .cell_gap(1)
        .y_axis(heatmap.YAxisConfig().unit(axis))
        .show_legend()
    )


def history(title: str, query: Query, says: str, look: Look) -> statushistory.Panel:
    """A row a series and a cell a moment, coloured by the thresholds."""
    return (
        _made(statushistory.Panel(), title, [query], says, look)
        .show_value(kinds.VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .legend(_legend())
    )


def timeline(title: str, query: Query, says: str, look: Look) -> statetimeline.Panel:
    """A row a series, with its states one after the other."""
    return (
        _made(statetimeline.Panel(), title, [query], says, look)
        .show_value(kinds.VisibilityMode.AUTO)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .legend(_legend())
    )


def gauges(title: str, query: Query, says: str, look: Look) -> bargauge.Panel:
    """A bar a series, lying, with its value."""
    return (
        _made(bargauge.Panel(), title, [query], says, look)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


@dataclass(frozen=True)
class Column:
    """One column of a table that is not a label.

    Attributes:
        name: Its heading.
        expr: What it holds, a sample a row.
        unit: Grafana's name of the unit.
        steps: Its thresholds; with more than one the cell is coloured.
        decimals: After the point; None as the table has them.
    """

    name: str
    expr: str
    unit: str = "short"
    steps: Steps = PLAIN
    decimals: int | None = None


def rows(title: str, columns: Sequence[Column], says: str, look: Look, *, labels: Mapping[str, str]) -> table.Panel:
    """A table of what is now: a row a combination of labels, a column an expression.

    Args:
        title: Of the panel.
        columns: Beside the labels.
        says: Its description.
        look: Its size.
        labels: Which labels are shown, and their headings.
    """
    queries = [Query(column.expr, now=True, format=PromQueryFormat.TABLE) for column in columns]
    values = ["Value"] if len(columns) == 1 else [f"Value #{_letter(place)}" for place in range(len(columns))]
    headings = {**labels, **{value: column.name for value, column in zip(values, columns, strict=True)}}
    order = {name: place for place, name in enumerate(headings)}
    panel = _made(table.Panel(), title, queries, says, look)
    if len(columns) > 1:
        panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    organized = {"renameByName": headings, "indexByName": order, "excludeByName": {"Time": True, "__name__": True}}
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organized))
    for column in columns:
        panel = panel.override_by_name(column.name, _cell(column))
    return panel


def linked(panel: table.Panel, heading: str, title: str, url: str) -> table.Panel:
    """Make a column of a table lead somewhere."""
    return panel.override_by_name(heading, [_property("links", [{"title": title, "url": url, "targetBlank": True}])])


def words(title: str, content: str, says: str, *, width: int, height: int) -> text.Panel:
    """Text in Markdown, for what no series can say."""
    return (
        text.Panel()
        .title(title)
        .description(says)
        .grid_pos(models.GridPos(w=width, h=height))
        .mode(TextMode.MARKDOWN)
        .content(content)
    )


def yes_or_no(yes: str, no: str) -> dict[str, tuple[str, str]]:
    """The words of a gauge that is 1 when all is well and 0 when not."""
    return {"1": (yes, GOOD), "0": (no, BAD)}


def _made(panel: _P, title: str, queries: Sequence[Query], says: str, look: Look) -> _P:
    panel.title(title)
    panel.description(says)
    panel.datasource(SOURCE)
    panel.grid_pos(models.GridPos(w=look.width, h=look.height))
    panel.unit(look.unit)
    panel.thresholds(_thresholds(look.steps))
    if look.decimals is not None:
        panel.decimals(look.decimals)
    if look.low is not None:
        panel.min(look.low)
    if look.high is not None:
        panel.max(look.high)
    if look.words is not None:
        panel.mappings([_mapping(look.words)])
    if look.nothing is not None:
        panel.no_value(look.nothing)
    for place, query in enumerate(queries):
        panel.with_target(_target(query, _letter(place)))
    return panel


def _target(query: Query, letter: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(SOURCE).format(query.format)
    target = target.legend_format(query.legend) if query.legend else target
    target = target.exemplar(True) if query.exemplars else target
    return target.instant() if query.now else target.range()


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    found = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def _mapping(words: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    results = {
        value: models.ValueMappingResult(text=word, color=colour, index=place)
        for place, (value, (word, colour)) in enumerate(words.items())
    }
    return models.ValueMap(options=results)


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
    )


def _cell(column: Column) -> list[models.DynamicConfigValue]:
    steps = [{"value": value, "color": colour} for value, colour in column.steps]
    found = [_property("unit", column.unit), _property("thresholds", {"mode": "absolute", "steps": steps})]
    if column.decimals is not None:
        found.append(_property("decimals", column.decimals))
    if len(steps) > 1:
        found.append(_property("custom.cellOptions", {"type": "color-text"}))
    return found


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)


def _letter(place: int) -> str:
    return chr(ord("A") + place)
