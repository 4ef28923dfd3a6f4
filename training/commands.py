"""Training's part of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bentos.command_line import as_json_option, candidate_file_option, in_folder, print_result, progress, suggest
from bentos.errors import Unavailable
from bentos.folder import Folder

USE_CASES = Path(__file__).parent / "use_cases"


@click.command()
@click.option(
    "--data",
    envvar="GAUNTLET_DATA",
    show_envvar=True,
    metavar="FILE|URL",
    help="A .csv or .parquet file, its https:// URL, a database such as postgresql://USER@HOST/NAME with --query, or "
    "`telco` for the public file. Default: synthetic.",
)
@click.option(
    "--query",
    envvar="GAUNTLET_DATA_QUERY",
    show_envvar=True,
    metavar="SQL",
    help="Which rows of a database; its password stands in the file that GAUNTLET_DATA_PASSWORD_FILE names.",
)
@click.option(
    "--use-case",
    type=click.Path(path_type=Path),
    envvar="GAUNTLET_USE_CASE_FILE",
    show_envvar=True,
    default=USE_CASES / "telco_churn.yaml",
    show_default="training/use_cases/telco_churn.yaml",
    metavar="FILE",
    help="What the columns are and what is predicted.",
)
@click.option(
    "--estimator",
    envvar="GAUNTLET_ESTIMATOR",
    show_envvar=True,
    default="random_forest",
    show_default=True,
    help="random_forest, hist_gradient_boosting, logistic_regression, or a scikit-learn classifier's import path.",
)
@click.option(
    "--parameter", "-p", "parameters", multiple=True, metavar="NAME=VALUE", help="Of the estimator; repeatable."
)
@click.option("--parameters-file", type=click.Path(path_type=Path), metavar="FILE", help="The same as YAML; flags win.")
@click.option("--without", multiple=True, metavar="FEATURE", help="A feature the model must not read; repeatable.")
@candidate_file_option("Write which version this made, such as models:/churn/7, for a gate that comes after it.")
@click.option("--seed", default=0, show_default=True, help="Of everything random.")
@click.option("--rows", default=7000, show_default=True, help="How many synthetic customers, where there is no --data.")
@in_folder
@as_json_option
def train(
    folder: Folder,
    use_case: Path,
    parameters: tuple[str, ...],
    candidate_file: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit a model and register it as candidate.

    The data is validated as a whole first; a fifth of the ids is held out for the gate; the ONNX form must answer as
    scikit-learn does. Everything is tracked in MLflow.
    """
    from bentos.artifact import check_file
    from bentos.last_words import leave
    from bentos.registry import registry_of
    from training.terminal import describe
    from training.train import TrainRequest, read_parameters
    from training.train import train as run

    request = TrainRequest(
        use_case=use_case,
        data=options["data"],
        query=options["query"],
        estimator=options["estimator"],
        parameters=read_parameters(parameters, options["parameters_file"]),
        without=options["without"],
        seed=options["seed"],
        rows=options["rows"],
    )
    if candidate_file is not None:
        check_file("--candidate-file", candidate_file)
    trained = run(request, registry=registry_of(folder), folder=folder, progress=progress)
    if candidate_file is not None:
        _hand_over(trained.version.uri, candidate_file)
    print_result(trained, as_json, describe)
    leave(f"{trained.version.name} version {trained.version.number}, candidate: {trained.digest}")
    suggest(folder, f"gate models:/{trained.version.name}/{trained.version.number}")


def _hand_over(uri: str, file: Path) -> None:
    from bentos.artifact import write_beside

    try:
        write_beside(file, f"{uri}\n".encode())
    except OSError as e:
        raise Unavailable(f"--candidate-file: {file} cannot be written: {e.strerror or e}; {uri} is registered") from e
