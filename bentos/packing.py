"""Packing: the reigning champion and the challengers, from the registry into Bentos that `bentoml serve` takes.

Two are built of the same models: the one that scores, and the one that explains (`bentos/insight.yaml`).

A model is copied once into BentoML's model store, under its name and the first digits of its digest. The Bento holds
the code, `roles.json` and the pinned requirements; an image made of it holds the models too. Building runs in a process
of its own, because BentoML keeps one home a process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from bentos.artifact import (
    Artifact,
    Blessing,
    Finding,
    Scope,
    Trust,
    blessing_id,
    examine_blessing,
    problems_in,
    read_blessing,
)
from bentos.blessings import check_anchored, data_finding, expected_of, previous_of, trusting
from bentos.building import BuildJob, Built
from bentos.errors import BadInput, NotBlessed, NotFound, Refused
from bentos.folder import Folder
from bentos.requirements import INSIGHT, SERVING, read_requirements
from bentos.roles import ROLES, BentoRoles, PackedModel, dump_roles, short

if TYPE_CHECKING:
    from bentos.registry import Registry, Version

CHECKOUT = Path(__file__).resolve().parent.parent
RECIPES = {SERVING: "bentofile.yaml", INSIGHT: "bentos/insight.yaml"}
"""What each Bento is built by, after the group of packages that it installs."""
BUILD_SECONDS = 300
"""A build takes two to five seconds; one that takes this long hangs."""


@dataclass(frozen=True)
class Packed:
    """A Bento that was built.

    Attributes:
        tag: As BentoML names it.
        path: Its folder.
        champion: The model that it was built around.
        challengers: The models that may be tried beside it.
        insight_tag: The Bento of the same models that explains them, as BentoML names it.
        insight_path: Its folder.
        warnings: What somebody should look at, such as a champion whose blessing expired.
    """

    tag: str
    path: Path
    champion: PackedModel
    challengers: tuple[PackedModel, ...]
    insight_tag: str
    insight_path: Path
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        beside = ", ".join(_named(model) for model in self.challengers) or "no challenger"
        lines = (
            f"{self.tag}: champion {self.champion.name} version {self.champion.version}, {beside}",
            f"  {self.path}",
            f"  {self.insight_tag}: explains them",
            *(f"  warning: {warning}" for warning in self.warnings),
        )
        return "\n".join(lines)


def _named(model: PackedModel) -> str:
    return f"{model.name} version {model.version}" + (" (for the shadow only)" if model.scope == "shadow" else "")


def package(
    registry: Registry,
    *,
    champion: Version,
    challengers: Sequence[Version],
    folder: Folder,
    now: datetime,
    trust: Trust | None = None,
    checkout: Path = CHECKOUT,
) -> Packed:
    """Build the scoring Bento and the one that explains it, and let `folder.bento` and `insight_bento` point at them.

    Args:
        registry: Where the models are.
        champion: The reigning champion; a blessing that held once (it expired, was revoked, bears another key's
            signature) is a warning for it, and for no other model.
        challengers: Blessed models of the same contract, for the split or for the shadow alone.
        folder: The installation's folder: BentoML's home and the link are in it.
        now: When blessings have to hold.
        trust: Whose signatures count, and what was revoked; None: nobody needs to have signed. What the tags of a
            version tell of a revocation counts as well.
        checkout: Where the code, `bentofile.yaml` and `uv.lock` are.

    Raises:
        NotFound: A model is not at the tracking server, or the code is no checkout.
        ArtifactDamaged: A model is not what was registered.
        NotBlessed: A challenger's blessing does not hold, or the champion does not reign and its blessing does not
            hold, or it was never blessed.
        Refused: A challenger's contract asks for other rows, or the build fails.
        BadInput: One model is named twice.
    """
    _check_named_once(champion, challengers)
    folder.path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gauntlet-package-") as beside:  # BentoML refuses hidden folders
        fetched = [
            registry.fetch(version, Path(beside) / "models" / str(index))
            for index, version in enumerate((champion, *challengers))
        ]
        _check_contracts(champion, fetched[0], list(zip(challengers, fetched[1:], strict=True)))
        blessings = [_blessing_of(v, artifact) for v, artifact in zip((champion, *challengers), fetched, strict=True)]
        pack = partial(_pack, now=now, trust=trust or Trust())
        first, warnings = pack(champion, fetched[0], blessings[0], "split", reigns="champion" in champion.aliases)
        others: tuple[PackedModel, ...] = ()
        for version, artifact, blessing in zip(challengers, fetched[1:], blessings[1:], strict=True):
            _check_chain(registry, version, blessing, blessings[0])
            other, _ = pack(version, artifact, blessing, "shadow", reigns=False)
            others = (*others, other)
            warnings = (*warnings, *_stale(version, blessing, champion))
        roles = BentoRoles(gauntlet=read_version(checkout), champion=first, challengers=others)
        built, explaining = _build_both(Path(beside), checkout, roles, fetched, folder)
    _point(folder.insight_bento, Path(explaining.path))
    _point(folder.bento, Path(built.path))
    return Packed(built.tag, Path(built.path), first, others, explaining.tag, Path(explaining.path), warnings=warnings)


def read_version(checkout: Path) -> str:
    """The version of Gauntlet that a checkout holds."""
    try:
        project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    except FileNotFoundError as e:
        raise NotFound(f"{checkout} is no checkout of Gauntlet: it has no pyproject.toml") from e
    return str(project["version"])


def _check_named_once(champion: Version, challengers: Sequence[Version]) -> None:
    seen = {champion.digest: str(champion)}
    for version in challengers:
        if version.digest in seen:
            raise BadInput(f"{version} is the same artifact as {seen[version.digest]}; name each model once")
        seen[version.digest] = str(version)


def _check_contracts(champion: Version, reigning: Artifact, challengers: Sequence[tuple[Version, Artifact]]) -> None:
    for version, artifact in challengers:
        if not artifact.contract.serves_as(reigning.contract):
            raise Refused(
                f"{version} cannot be tried beside {champion}: "
                "their contracts differ in name, id, target, labels or features"
            )


def _pack(
    version: Version,
    artifact: Artifact,
    blessing: Blessing,
    scope: Scope,
    *,
    reigns: bool,
    now: datetime,
    trust: Trust,
) -> tuple[PackedModel, tuple[str, ...]]:
    """A model whose blessing holds; a reigning champion starts on one that held once, with warnings."""
    findings = (
        *examine_blessing(
            blessing,
            artifact=artifact.digest,
            now=now,
            scope=scope,
            trust=trusting(trust, version),
            expected=expected_of(version),
        ),
        data_finding(blessing, artifact),
    )
    problems = sorted(problems_in(findings), key=_was_blessed)
    if problems and not (reigns and problems[0].was_blessed):
        raise NotBlessed(f"{version}: {problems[0].says}")
    packed = PackedModel(
        name=version.name,
        version=version.number,
        digest=version.digest,
        blessing=blessing_id(blessing),
        scope=blessing.scope,
    )
    return packed, tuple(f"the reigning champion is packed although {problem.says}" for problem in problems)


def _blessing_of(version: Version, artifact: Artifact) -> Blessing:
    try:
        return read_blessing(artifact.folder)
    except NotBlessed as e:
        raise NotBlessed(f"{version}: {e}") from e


def _was_blessed(finding: Finding) -> bool:
    return finding.was_blessed


def _check_chain(registry: Registry, version: Version, blessing: Blessing, champion: Blessing) -> None:
    """The link to the champion's blessing; `gauntlet blessing verify` follows the whole chain."""
    try:
        check_anchored(blessing, champion)
        previous_of(registry, version.name, blessing)
    except NotBlessed as e:
        raise NotBlessed(f"{version}: {e}") from e


def _stale(version: Version, blessing: Blessing, champion: Version) -> tuple[str, ...]:
    """A challenger that was judged against somebody else may be tried: the verdict compares it with who reigns now."""
    if blessing.baseline == champion.digest:
        return ()
    against = f"against {blessing.baseline}" if blessing.baseline else "without a champion"
    return (f"{version} was judged {against}, and not against {champion}; only live customers compare the two",)


def _build_both(
    beside: Path, checkout: Path, roles: BentoRoles, artifacts: Sequence[Artifact], folder: Folder
) -> tuple[Built, Built]:
    """The Bento that scores and the one that explains, of the same models."""
    tools = _stand_in_for_uv(beside / "tools")
    built = []
    for group, recipe in RECIPES.items():
        job = BuildJob(
            source=str(_lay_out(beside / group, checkout, roles, recipe, group)),
            models={model.tag: str(artifact.folder) for model, artifact in zip(roles.models, artifacts, strict=True)},
            metadata={model.tag: msgspec.to_builtins(model) for model in roles.models},
        )
        built.append(_build(job, folder, tools=tools))
    return built[0], built[1]


def _lay_out(source: Path, checkout: Path, roles: BentoRoles, recipe: str, group: str) -> Path:
    """Everything that a Bento is built from, in a folder of its own, so that nothing else can slip in."""
    described: dict[str, Any] = yaml.safe_load((checkout / recipe).read_text())
    for name in ("bentos", "service"):
        shutil.copytree(checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(checkout / ".bentoignore", source)
    (source / ROLES).write_bytes(dump_roles(roles))
    python = described["docker"]["python_version"]
    requirements = read_requirements(checkout / "uv.lock", python=python, group=group)
    (source / "requirements.txt").write_text("\n".join(requirements) + "\n")
    described["models"] = [model.tag for model in roles.models]
    described["labels"] = {"gauntlet": roles.gauntlet, "champion": short(roles.champion.digest)}
    (source / "bentofile.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    return source


def _stand_in_for_uv(tools: Path) -> Path:
    """A `uv` for BentoML to find.

    BentoML looks for one, and installs it from an index if there is none, though it runs it only to lock packages,
    which are locked already.
    """
    tools.mkdir()
    (tools / "uv").write_text("#!/bin/sh\necho 'nothing is to be locked' >&2\nexit 1\n")
    (tools / "uv").chmod(0o755)
    return tools


def _build(job: BuildJob, folder: Folder, *, tools: Path) -> Built:
    environment = {
        **os.environ,
        "BENTOML_HOME": str(folder.bentoml.resolve()),
        "BENTOML_DO_NOT_TRACK": "true",
        "OTEL_SDK_DISABLED": "true",
        "PYTHONPATH": job.source,
        "PATH": os.pathsep.join((str(tools), os.environ.get("PATH", os.defpath))),
    }
    command = [sys.executable, "-m", "bentos.building"]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            cwd=job.source,
            env=environment,
            input=msgspec.json.encode(job),
            capture_output=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise Refused(f"bentoml build did not end within {BUILD_SECONDS} s") from e
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Refused(f"bentoml build failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Built)


def _point(link: Path, bento: Path) -> None:
    """Let the link point at a Bento; a reader finds the old one or the new one."""
    beside = link.with_name(f".{link.name}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(bento)
    beside.replace(link)
