"""Files' part of the command line: the summary, and what score-file asks, which in `gauntlet.py` meets the registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from bentos.command_line import as_json_option, print_result, progress

_SCORE_FILE = (
    click.argument("input_file", metavar="IN", type=click.Path(path_type=Path)),
    click.argument("output", metavar="OUT", type=click.Path(path_type=Path)),
    click.option(
        "--shard",
        envvar="GAUNTLET_SHARD",
        default="0/1",
        show_default=True,
        show_envvar=True,
        metavar="INDEX/COUNT",
        help="Which share of the rows, from 0; the index may be a variable's name, as in $JOB_COMPLETION_INDEX/8.",
    ),
    click.option(
        "--model", metavar="MODEL", help="A blessed model of the registry. Default: the champion that is served."
    ),
    click.option(
        "--keep",
        multiple=True,
        metavar="COLUMNS",
        help="A column of IN to carry over to OUT, or several with commas between; repeatable.",
    ),
    click.option(
        "--bad-rows",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Set bad rows aside in this .jsonl file, with reasons, and go on; a CSV line with too many or too few "
        "values ends it all the same. Default: the first bad rows end it.",
    ),
    click.option("--restart", is_flag=True, help="Score anew what is done or was begun with another input or model."),
    click.option(
        "--summary",
        is_flag=True,
        help="Of several shards, the one that ends last checks all parts as `gauntlet batch-summary` does.",
    ),
)


def score_file_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `gauntlet score-file` its arguments and options, in the order in which it explains them."""
    return reduce(lambda so_far, option: option(so_far), reversed(_SCORE_FILE), command)


@click.command("batch-summary")
@click.argument("input_file", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--bad-rows",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where `gauntlet score-file` set bad rows aside, if it did.",
)
@as_json_option
def batch_summary(input_file: Path, output: Path, bad_rows: Path | None, as_json: bool) -> None:
    """Check what several shards of score-file made of IN, and sum it up.

    Each row of IN must be in OUT or among the bad rows, once, scored by one model. Then OUT/_summary.json says how many
    rows were scored and set aside, by which model, and what each shard took; otherwise it is one sentence and exit
    code 2, and there is no such file.
    """
    from bentos.last_words import leave
    from service.files.summing import sum_up

    summary = sum_up(input_file, output, bad_rows, progress=progress)
    print_result(summary, as_json, str)
    leave(summary.headline)
