"""`gauntlet image`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.command_line import as_json_option, in_folder, print_result, progress
from bentos.folder import Folder
from bentos.images import BASE, KINDS, LIBRARY

if TYPE_CHECKING:
    from bentos.images.making import Image


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--tag",
    "reference",
    metavar="NAME:TAG",
    help=f"Default: {LIBRARY}/gauntlet-KIND:local, which a manifest may call gauntlet-KIND:local.",
)
@click.option("--engine", "engine_name", metavar="NAME", help="docker, podman, nerdctl or buildah. Default: the first "
              "that can build here.")  # fmt: skip
@click.option("--base", default=BASE, show_default=True, metavar="IMAGE",
              help="What to build on; name it by digest to build the same again.")  # fmt: skip
@click.option("--archive", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write it as a docker archive too, which a node without registry can load.")  # fmt: skip
@click.option("--push", "is_pushed", is_flag=True, help="Push it, and say by which digest it can be pulled.")
@click.option("--release", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="The release that is to name it by digest, such as k8s/overlays/staging/release.")  # fmt: skip
@click.option("--sbom", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Where its bill of materials is written. Default: images/KIND.cdx.json in --folder.")  # fmt: skip
@click.argument("further", nargs=-1, type=click.UNPROCESSED, metavar="[-- ENGINE_OPTION...]")
@in_folder
@as_json_option
def image(
    kind: str,
    reference: str | None,
    engine_name: str | None,
    base: str,
    archive: Path | None,
    is_pushed: bool,
    release: Path | None,
    sbom: Path | None,
    further: tuple[str, ...],
    folder: Folder,
    as_json: bool,
) -> None:
    """Build an image: of a packed Bento, or of the Jobs.

    scoring holds the Bento that `gauntlet package` built last, insight the one that explains the same models, jobs
    what trains, judges and ships. What follows -- goes to the builder's own build command. The same inputs give the
    same id.
    """
    from bentos.images.engines import find_engine
    from bentos.images.making import Order, check_order, make_image

    order = Order(
        kind=kind,
        reference=reference or f"{LIBRARY}/gauntlet-{kind}:local",
        base=base,
        bill=sbom or folder.path / "images" / f"{kind}.cdx.json",
        archive=archive,
        is_pushed=is_pushed,
        release=release,
        further=further,
    )
    check_order(order)  # before an engine is looked for: what is wrong with the order is wrong with every engine
    print_result(make_image(order, find_engine(engine_name), folder, progress=progress), as_json, _render)


def _render(image: Image) -> str:
    lines = [
        f"{image.reference}  {image.id}",
        f"  {image.unpacked_mb:,.0f} MB unpacked, {image.packages} packages, on {image.base}, by {image.engine}",
        *(f"  {key}={value}" for key, value in image.labels.items()),
        f"  bill of materials: {image.bill}",
    ]
    if image.archive is not None:
        lines.append(f"  archive: {image.archive}")
    if image.digest is not None:
        lines.append(f"  pushed: {image.reference.rpartition(':')[0]}@{image.digest}")
    return "\n".join(lines)
