import pytest

from bentos.errors import InvalidSetting
from service.files.asking import columns_of


@pytest.mark.parametrize(
    ("given", "columns"),
    [([], ()), ([""], ()), (["a", "b c"], ("a", "b c")), (["a, b"], ("a", "b")), (['"a,b",c'], ("a,b", "c"))],
)
def test_columns_to_keep_come_one_by_one_or_as_a_line_of_csv(given, columns):
    assert columns_of(given) == columns


def test_columns_to_keep_that_are_no_line_of_csv_are_refused():
    with pytest.raises(InvalidSetting, match="it must be column names with commas between"):
        columns_of(['"a'])
