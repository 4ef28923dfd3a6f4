"""Asking an earlier schema: a column that is not there yet reads as what a row without it means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors


def read_as_absent(statement: Any, has: Callable[[sa.Column[Any]], bool]) -> Any:
    """The same SELECT with a constant in the place of every column that the schema lacks; others come back as they are.

    Args:
        statement: What is about to be executed.
        has: Whether the schema holds a column.
    """
    if not isinstance(statement, sa.Select):
        return statement

    def replace(element: Any, **_options: Any) -> Any:
        for base in getattr(element, "base_columns", ()) if isinstance(element, sa.ColumnClause) else ():
            if isinstance(base, sa.Column) and not has(base):
                return _absent(element.table, base).label(base.name)
        return None

    named = statement.with_only_columns(
        *statement.selected_columns, maintain_column_froms=True
    )  # not tables as a whole
    return visitors.replacement_traverse(named, {}, replace)


def _absent(table: Any, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The constant, said of the table's rows: the table must not drop out of the query, and may be joined outside."""
    key = table.c[next(iter(column.table.primary_key)).name]
    return sa.case((key.is_not(None), sa.cast(sa.literal(column.info["absent"], column.type), column.type)))
