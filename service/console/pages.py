"""What a page is. The pages themselves lie one a folder, and `app.py` lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dash import Dash
from dash.development.base_component import Component

from service.console.sources import Sources


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        path: Of its address, such as `/customer`.
        name: In the navigation, and its heading.
        says: What is found there, in a sentence.
        layout: What is on it, made anew at every visit; may raise a GauntletError, which is shown in its place.
        wire: Adds its callbacks, once.
        first_questions: What it asks its sources when it is opened. They are asked ahead, while the browser still
            builds the page, so their answers must be kept (`Sources.kept`).
        has_tables: Whether tables come to stand on it: their code, the largest of all, is fetched with the page then.
        needs_predictions: Whether an installation without any is told what to do first instead.
        needs_champion: The same of one whose models were all only trained or judged; it always needs one of these.
    """

    path: str
    name: str
    says: str
    layout: Callable[[Sources], Component]
    wire: Callable[[Dash, Sources], None]
    first_questions: Callable[[Sources], Sequence[Callable[[], object]]] = lambda _sources: ()
    has_tables: bool = True
    needs_predictions: bool = True
    needs_champion: bool = True
