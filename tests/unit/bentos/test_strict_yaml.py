"""YAML of people's own: one kind of error, whatever is wrong with it."""

import pytest
import yaml

from bentos.strict_yaml import dump_yaml, load_yaml


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("a: 1\na: 2", "'a' is written twice"),
        ("a: {b: 1, b: 2}", "'b' is written twice"),
        ("when: 2026-02-30", "day is out of range"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        (b"\xff\xfe\x00", None),
        ("a: [", None),
        ("!!python/object/apply:os.system [true]", "tags such as tag:yaml.org,2002:python/object/apply:os.system are"),
        ("a: 1\nwhen: !!timestamp foo", "tags such as .*timestamp are not read; write the plain value, in line 2"),
        ("a: !!bool maybe", "tags such as"),
        ('a: !!int ""', "tags such as"),
        ("a: &x [1]\nb: *x", r"aliases such as \*x are not read; write the value out, in line 2"),
        ("a: 0x" + "F" * 6000, "a number is too long"),
        ("a: " + "9" * 5000, "a number is too long"),
        ("a: 1." + "9" * 5000, "a number is too long"),
        ("a: 1" + ":1" * 180 + ".0", "a value cannot be read: int too large"),
        ('"\\ud800": 1', None),
        ('mode: "\\ud800"', None),
        ("a: " + "x" * 1024 * 1024, "larger than 1,048,576 bytes"),
    ],
)
def test_what_is_wrong_is_a_yaml_error(content, named):
    with pytest.raises(yaml.YAMLError, match=named):
        load_yaml(content)


def test_what_is_written_is_read_again_without_aliases():
    twice = ["x"]
    assert load_yaml(dump_yaml({"b": twice, "a": twice})) == {"b": ["x"], "a": ["x"]}


def test_what_is_right_is_read():
    assert load_yaml("a: 1\nb: [x, {c: null}]") == {"a": 1, "b": ["x", {"c": None}]}
