"""The bill of materials of an image (SBOM, CycloneDX 1.6): packages of Python and Debian, the models, the base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from bentos.roles import BentoRoles, PackedModel


class Installed(msgspec.Struct, frozen=True):
    """A package inside an image, as `slimming` wrote it down.

    Attributes:
        kind: `pypi` or `deb`.
        name: As its own index names it.
        version: Installed one.
    """

    kind: str
    name: str
    version: str


def make_bill(
    packages: Sequence[Installed],
    *,
    image: str,
    image_id: str,
    base: str,
    base_digest: str,
    roles: BentoRoles | None,
    epoch: int,
) -> bytes:
    """Write the bill as JSON; the same content gives the same bytes.

    Args:
        packages: What is installed.
        image: `NAME:TAG`.
        image_id: The image's id, `sha256:…`.
        base: The image that it was built on.
        base_digest: The digest of that.
        roles: The models inside.
        epoch: Seconds since 1970 that it is dated with.
    """
    name, _, tag = image.rpartition(":")
    whole = Component(
        type=ComponentType.CONTAINER, name=name, version=tag, bom_ref=image_id, hashes=[_hash(image_id)]
    )  # fmt: skip
    parts = [
        Component(type=ComponentType.CONTAINER, name=base, bom_ref="base", hashes=[_hash(base_digest)]),
        *(_package(package) for package in packages),
        *(_model(model) for model in (roles.models if roles is not None else ())),
    ]
    bom = Bom(
        components=parts,
        metadata=BomMetaData(component=whole, timestamp=datetime.fromtimestamp(epoch, UTC)),
        serial_number=UUID(image_id.removeprefix("sha256:")[:32]),
    )
    bom.register_dependency(whole, parts)
    return f"{JsonV1Dot6(bom).output_as_string(indent=1)}\n".encode()


def _package(package: Installed) -> Component:
    namespace, name = (None, package.name.lower()) if package.kind == "pypi" else ("debian", package.name)
    url = PackageURL(type=package.kind, namespace=namespace, name=name, version=package.version)
    return Component(
        type=ComponentType.LIBRARY, name=package.name, version=package.version, purl=url, bom_ref=url.to_string()
    )  # fmt: skip


def _model(model: PackedModel) -> Component:
    blessing = [Property(name="gauntlet:blessing", value=model.blessing)] if model.blessing is not None else []
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=model.name,
        version=model.version,
        bom_ref=model.digest,
        hashes=[_hash(model.digest)],
        properties=blessing,
    )


def _hash(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))


def read_installed(content: bytes) -> Iterator[Installed]:
    """What `slimming` wrote down."""
    yield from msgspec.json.decode(content, type=list[Installed])
