"""Looking at blessings, verifying them in every way, and taking them back: what `gauntlet blessing` does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bentos.artifact import (
    BLESSING,
    Artifact,
    Blessing,
    Finding,
    Scope,
    Trust,
    blessing_id,
    examine_blessing,
    parse_blessing,
    problems_in,
    sha256,
)
from bentos.blessings import chain_of, check_anchored, data_finding, expected_of, revoke, trusting
from bentos.errors import ArtifactDamaged, NotBlessed, NotFound, Unavailable
from bentos.registry import Registry, Version
from bentos.revocations import Revocation
from service.prediction_log.upkeep import record
from service.store import Store, tables
from validation.gate.defaults import POLICIES

CHAMPION = "champion"


@dataclass(frozen=True)
class Shown:
    """A blessing with what it is of.

    Attributes:
        model: Name and version.
        id: Of the blessing.
        blessing: The record.
    """

    model: str
    id: str
    blessing: Blessing

    def __str__(self) -> str:
        it = self.blessing
        against = "nobody: a first model" if it.baseline is None else it.baseline
        told = {
            "model": self.model,
            "blessing": self.id,
            "artifact": it.artifact,
            "verdict": it.verdict + (f", awaiting {', '.join(it.awaits)}" if it.awaits else ""),
            "scope": it.scope,
            "judged": f"{it.judged_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            "expires": f"{it.expires_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            "against": "itself, as the reigning champion" if it.baseline == it.artifact else against,
            "previous": it.previous or "none",
            "attempts": "not counted" if it.attempts is None else f"{it.attempts} on this holdout, this one included",
            "data": it.data,
            "holdout": f"{it.holdout or 'not named'}, {it.n:,} rows",
            "policy": _named_policy(it.policy),
            "code": it.code,
            "seed": str(it.seed),
            "signed by": it.key or "nobody",
        }
        lines = [f"{name:<10} {value}" for name, value in told.items()]
        width = max((len(check.name) for check in it.checks), default=0)
        for check in it.checks:
            interval = "" if check.low is None or check.high is None else f" ({check.low:.4f} to {check.high:.4f})"
            value = "-" if check.value is None else f"{check.value:.4f}"
            bound = "" if check.bound is None else f", bound {check.bound:g}"
            lines.append(f"  {check.name:<{width}}  {value}{interval}{bound}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Verified:
    """How every test of a blessing came out.

    Attributes:
        model: Name and version.
        findings: One a test.
    """

    model: str
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether all passed."""
        return not list(problems_in(self.findings))

    def __str__(self) -> str:
        wrong = sum(not finding.holds for finding in self.findings)
        lines = [f"{'ok' if one.holds else 'WRONG':<6} {one.test:<11} {one.says}" for one in self.findings]
        end = "the blessing holds" if self.holds else f"the blessing does not hold: {wrong} of {len(lines)} tests"
        return "\n".join([*lines, f"{self.model}: {end}"])


@dataclass(frozen=True)
class Revoked:
    """What taking a blessing back came to.

    Attributes:
        revocation: As the list has it.
        path: The list.
        is_champion: Whether the model reigns, and goes on serving.
        was_challenger: Whether it lost the alias `challenger`.
    """

    revocation: Revocation
    path: Path
    is_champion: bool
    was_challenger: bool

    def __str__(self) -> str:
        it = self.revocation
        lines = [f"{it.model}: blessing {it.blessing} is revoked ({it.who}: {it.reason}); it stands in {self.path}"]
        if self.was_challenger:
            lines.append("it is challenger no more; serving that reads this list leaves it out")
        if self.is_champion:
            lines.append(
                "it is champion, and goes on serving, with an alert: only a promotion puts another in its place"
            )
        return "\n".join(lines)


def show(registry: Registry, version: Version) -> Shown:
    """A version's blessing.

    Raises:
        NotBlessed: It has none, or none that can be read.
    """
    blessing = blessing_of(registry, version)
    return Shown(str(version), blessing_id(blessing), blessing)


def blessing_of(registry: Registry, version: Version) -> Blessing:
    """What stands beside a version's artifact, without the artifact, which may be large or damaged.

    Raises:
        NotBlessed: It has none, or none that can be read.
    """
    path = f"artifact/{BLESSING}"
    with tempfile.TemporaryDirectory(prefix="gauntlet-blessing-") as beside:
        try:
            found = registry.fetch_file(version, path, Path(beside))
        except NotFound as e:
            raise NotBlessed(f"{version} has no {BLESSING}: it passed no gate; run `gauntlet gate` on it") from e
        return parse_blessing(found.read_bytes(), f"{path} of {version}")


def verify(
    registry: Registry,
    version: Version,
    *,
    now: datetime,
    trust: Trust,
    scope: Scope | None = None,
    policy: tuple[str, str] | None = None,
) -> Verified:
    """Test a blessing in every way.

    Args:
        registry: Where the model is.
        version: Which.
        now: When it has to hold, with a time zone.
        trust: Whose signatures count, and what was revoked.
        scope: How far it has to reach; None: as far as it says itself.
        policy: The policy that it has to be by: the file's name and digest; None: any.

    Raises:
        NotBlessed: It has none, or none that can be read.
        NotFound: The artifact is not at the tracking server any more.
    """
    blessing = blessing_of(registry, version)
    with tempfile.TemporaryDirectory(prefix="gauntlet-") as beside:
        try:
            artifact = registry.fetch(version, Path(beside) / "artifact")
            data = data_finding(blessing, artifact)
        except ArtifactDamaged as e:
            return Verified(str(version), (Finding("bytes", str(e), holds=False),))
        return Verified(
            str(version),
            (
                *examine_blessing(
                    blessing,
                    artifact=artifact.digest,
                    now=now,
                    scope=scope or blessing.scope,
                    trust=trusting(trust, version),
                    expected=expected_of(version),
                ),
                data,
                *([] if policy is None else [_policy(blessing, *policy)]),
                _chain(registry, version, blessing),
                _baseline(registry, version, blessing, artifact),
            ),
        )


def revoke_and_record(
    registry: Registry,
    version: Version,
    *,
    path: Path,
    open_store: Callable[[], Store],
    who: str,
    now: datetime,
    reason: str,
) -> Revoked:
    """Take a blessing back, and write who did it into the store's upkeep.

    The store is opened last: a blessing is revoked whether it answers or not.

    Args:
        registry: Where the model is.
        version: Which.
        path: The installation's list.
        open_store: The installation's store.
        who: Who asks.
        now: When, with a time zone.
        reason: Why.

    Raises:
        NotBlessed: There is nothing to revoke.
        BadInput: The reason is empty, or the list cannot be read.
        Unavailable: Registry or store do not answer; the message says what is done already.
    """
    blessing = blessing_of(registry, version)
    revocation = revoke(registry, version, blessing, path=path, who=who, now=now, reason=reason)
    try:
        store = open_store()
        if store.has(tables.upkeep):
            content = msgspec.to_builtins(revocation)
            with store.writing() as connection:
                record(connection, "revoke", str(version), who=who, now=now, content=content)
    except Unavailable as e:
        raise Unavailable(
            f"the blessing of {version} is revoked, in {path} and in the registry; the store has no row of it yet: "
            f"{e}; the same command again writes it"
        ) from e
    return Revoked(
        revocation,
        path,
        is_champion=CHAMPION in version.aliases,
        was_challenger="challenger" in version.aliases,
    )


def _named_policy(digest: str) -> str:
    """A policy's digest, with its name where it is a shipped one."""
    names = [path.name for path in POLICIES.glob("*.yaml") if sha256(path.read_bytes()) == digest]
    return f"{digest} ({names[0]})" if names else digest


def _policy(blessing: Blessing, name: str, digest: str) -> Finding:
    if blessing.policy != digest:
        says = f"the blessing is by the policy {blessing.policy}, and {name} is {digest}"
        return Finding("policy", says, holds=False)
    return Finding("policy", f"it is by {name}, {digest}")


def _chain(registry: Registry, version: Version, blessing: Blessing) -> Finding:
    try:
        chain = chain_of(registry, version.name, blessing)
        first = chain[-1].blessing
        if first.baseline not in (None, first.artifact):
            check_anchored(first, _baselines(registry, version.name, first.baseline or ""))
    except NotBlessed as e:
        return Finding("chain", str(e), holds=False)
    return Finding("chain", _told(version, [link.version or version for link in chain], first))


def _told(version: Version, owners: Sequence[Version], first: Blessing) -> str:
    if first.schema_version == 1:
        return f"{len(owners)} blessings back to {owners[-1]}, which was blessed before blessings were chained"
    if len(owners) == 1:
        return "it is the first of its chain"
    return f"{len(owners)} blessings, from {version} back to {owners[-1]}, the first champion"


def _baselines(registry: Registry, name: str, digest: str) -> Blessing | None:
    version = registry.find_by_digest(name, digest)
    try:
        return None if version is None else blessing_of(registry, version)
    except NotBlessed:
        return None


def _baseline(registry: Registry, version: Version, blessing: Blessing, artifact: Artifact) -> Finding:
    """Whom it was compared with; that another reigns now is worth knowing, and no reason to refuse it for a trial."""
    champion = registry.find(f"models:/{version.name}@{CHAMPION}")
    if champion is None:
        return Finding("baseline", "there is no champion yet")
    if champion.digest == artifact.digest:
        return Finding("baseline", "it reigns itself")
    if blessing.baseline == champion.digest:
        return Finding("baseline", f"it was compared with {champion}, which reigns")
    against = "nobody" if blessing.baseline is None else blessing.baseline
    is_open = bool(blessing.awaits)
    says = f"it was compared with {against}, and {champion} reigns now"
    if is_open:
        says += f"; nobody can settle {', '.join(blessing.awaits)} any more; run the gate again"
    return Finding("baseline", says, holds=not is_open)
