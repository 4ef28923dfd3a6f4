"""`gauntlet console`."""

from __future__ import annotations

import click

from bentos.command_line import in_folder
from bentos.folder import Folder


@click.command()
@click.option("--host", envvar="GAUNTLET_CONSOLE_HOST", default="127.0.0.1", show_default=True, show_envvar=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="GAUNTLET_CONSOLE_PORT",
    default=3005,
    show_default=True,
    show_envvar=True,
    help="0 for any free one.",
)
@click.option(
    "--service",
    "service_url",
    envvar="GAUNTLET_CONSOLE_SERVICE_URL",
    default="http://127.0.0.1:3000",
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where scoring answers, for what is typed in.",
)
@in_folder
def console(host: str, port: int, service_url: str, folder: Folder) -> None:
    """Show customers, models, production, experiment and gate to people.

    It reads the store, MLflow and the service, and scoring does not notice. Where --host is no loopback address, or
    there are keys, people log in with an API key: one under admin sees customers and acts, one under score only reads.
    """
    from service.console.process import run_console
    from service.console.settings import read_console_settings
    from service.logs import log_to_stderr

    log_to_stderr("console")
    named = {"folder": folder.path.resolve(), "host": host, "port": port, "service_url": service_url}
    run_console(read_console_settings(**named))
