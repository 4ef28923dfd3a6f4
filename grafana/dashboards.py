"""The dashboards, each as the text of its file in `grafana/dashboards/`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from grafana.boards.board import Board, dashboard_text
from grafana.boards.experiment import experiment_board
from grafana.boards.fairness import fairness_board
from grafana.boards.models import models_board
from grafana.boards.production import production_board
from grafana.boards.service import service_board

BOARDS: tuple[Callable[[], Board], ...] = (
    production_board,
    experiment_board,
    service_board,
    models_board,
    fairness_board,
)


def dashboard_files() -> tuple[tuple[str, Callable[[], str]], ...]:
    """Paths from the repository's root, and what gives the texts."""
    return tuple((f"grafana/dashboards/{board().uid}.json", partial(_text, board)) for board in BOARDS)


def _text(board: Callable[[], Board]) -> str:
    return dashboard_text(board())
