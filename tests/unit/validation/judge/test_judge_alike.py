"""Rows sorted into those that are alike, as SQLite hands them over and as PostgreSQL writes them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from judging import DAY, EXPERIMENT, START, policy, prediction, truth

from validation.judge.alike import _unescaped, rows_alike
from validation.judge.closing import close_cohorts
from validation.judge.policy import GroupRule

_ESCAPED = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


@given(st.text())
def test_what_copy_has_escaped_is_read_as_it_was(text):
    """The escapes are those of PostgreSQL's manual, COPY, text format."""
    assert _unescaped("".join(_ESCAPED.get(one, one) for one in text)) == text


def test_null_is_none_and_a_text_that_looks_like_it_is_not():
    assert _unescaped(r"\N") is None
    assert _unescaped(r"\\N") == r"\N"


def test_ids_are_sorted_by_the_values_before_them(world):
    one = sa.select(sa.literal(1), sa.literal(0.1), sa.literal("a"), sa.null(), sa.literal("id 1"))
    query = sa.union_all(one, one.with_only_columns(*list(one.selected_columns)[:-1], sa.literal("id 2"))).subquery()
    with world.store.reading() as connection:
        found = rows_alike(world.store, connection, sa.select(query), [int, float, str, bool])
        assert connection.exec_driver_sql("PRAGMA mmap_size").scalar_one() == 0
    assert {key: sorted(ids) for key, ids in found.items()} == {(1, 0.1, "a", None): ["id 1", "id 2"]}


@pytest.mark.parametrize("attribute", ["it's", "100 %", "a:b", "Ü n", "%%", "a.b"])
def test_an_attribute_may_be_named_as_it_likes(world, attribute):
    rules = policy(groups=(GroupRule(attribute=attribute, margin=0.1, when_underpowered="report"),))
    row = prediction("a", features={attribute: "it's\t100 %\\"})
    world.log(row, truth(row, True))
    world.ship(START + 31 * DAY)
    (cohort,) = close_cohorts(world.store, EXPERIMENT.id, rules, now=START + 31 * DAY)
    assert list(cohort.groups[attribute]) == ["it's\t100 %\\"]
