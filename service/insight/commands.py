"""`gauntlet insight`."""

from __future__ import annotations

import os

import click

from bentos.command_line import in_folder
from bentos.folder import Folder


@click.command()
@click.option("--host", envvar="GAUNTLET_INSIGHT_HOST", default="127.0.0.1", show_default=True, show_envvar=True)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="GAUNTLET_INSIGHT_PORT",
    default=3004,
    show_default=True,
    show_envvar=True,
    help="0 for any free one.",
)
@in_folder
def insight(host: str, port: int, folder: Folder) -> None:
    """Explain what the packed Bento's models answer.

    Answers /v1/explain and drafts e-mails for /v1/retention-email, which scoring passes on where GAUNTLET_INSIGHT_URL
    names this process. It asks nobody for a key, so let nobody but scoring reach it. GAUNTLET_GROQ_API_KEY_FILE names
    a file with Groq's key; without one a template writes.
    """
    from service.entry import prepare
    from service.insight.process import run_insight
    from service.insight.settings import read_insight_settings
    from service.logs import log_to_stderr

    prepare()
    log_to_stderr("insight")
    path = folder.path.resolve()
    os.environ.setdefault("BENTOML_HOME", str(Folder(path).bentoml))
    named = {"folder": path, "bento": Folder(path).bento, "insight_host": host, "insight_port": port}
    run_insight(read_insight_settings(**named))
