"""YAML of people's own: one kind of error, whatever is wrong with it."""

import pytest
import yaml

from bentos.strict_yaml import load_yaml


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("a: 1\na: 2", "'a' is written twice"),
        ("a: {b: 1, b: 2}", "'b' is written twice"),
        ("when: 2026-02-30", "day is out of range"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        (b"\xff\xfe\x00", None),
        ("a: [", None),
        ("!!python/object/apply:os.system [true]", "constructor"),
    ],
)
def test_what_is_wrong_is_a_yaml_error(content, named):
    with pytest.raises(yaml.YAMLError, match=named):
        load_yaml(content)


def test_what_is_right_is_read():
    assert load_yaml("a: 1\nb: [x, {c: null}]") == {"a": 1, "b": ["x", {"c": None}]}
