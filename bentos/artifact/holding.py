"""Whether a blessing holds: one test for each way in which it may not, each with a name and a sentence.

A challenger needs every test. A reigning champion starts in spite of those that say that its blessing was good once
(expiry, revocation, a key that is not known here); it never starts where they say that it was never blessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from bentos.artifact.blessing import Blessing, Scope, blessing_id
from bentos.artifact.signing import PUBLIC_KEY_SETTING, PublicKeys
from bentos.errors import InvalidSetting, NotBlessed, shown

POLICIES_SETTING = "GAUNTLET_GATE_POLICIES"
"""Digests of the policies by which a pass counts, with spaces between."""


@dataclass(frozen=True)
class Trust:
    """What is known here beside the blessing itself.

    Attributes:
        keys: Whose signatures count; None where nobody needs to have signed.
        revoked: By id of a blessing, who took it back, when and why, to be read after "was revoked".
        policies: Digests of the policies by which a pass counts; None: by any.
    """

    keys: PublicKeys | None = None
    revoked: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    policies: frozenset[str] | None = None

    def knowing(self, revoked: Mapping[str, str]) -> Trust:
        """The same, with further revocations."""
        return replace(self, revoked={**self.revoked, **revoked})


@dataclass(frozen=True)
class Finding:
    """How one test of a blessing came out.

    Attributes:
        test: Its name: `bytes`, `record`, `verdict`, `scope`, `expiry`, `revocation`, `signature`; what needs the
            registry or the artifact adds `data`, `policy`, `chain` and `baseline`.
        says: What was found, in one sentence.
        holds: Whether it passed.
        was_blessed: False where it says that the model was never blessed, so that not even a champion may start.
    """

    test: str
    says: str
    holds: bool = True
    was_blessed: bool = True


NOBODY = Trust()
"""No key is asked for, and nothing is revoked."""


def examine_blessing(
    blessing: Blessing,
    *,
    artifact: str,
    now: datetime,
    scope: Scope,
    trust: Trust = NOBODY,
    expected: str | None = None,
) -> tuple[Finding, ...]:
    """Look at a blessing in every way that needs no registry.

    Args:
        blessing: The record.
        artifact: Digest of the artifact that it is to hold for.
        now: When it is to hold, with a time zone.
        scope: What the model is wanted for.
        trust: Keys and revocations.
        expected: The id under which it was kept or packed; None where nobody knows.

    Returns:
        One finding a test, the most serious tests first.
    """
    return (
        _bytes(blessing, artifact),
        _record(blessing, expected),
        _verdict(blessing),
        _signature(blessing, trust.keys),
        _revocation(blessing, trust.revoked),
        *(() if trust.policies is None else (_policy(blessing, trust.policies),)),
        _expiry(blessing, now),
        _scope(blessing, scope),
    )


def problems_in(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """The tests that did not pass."""
    return (finding for finding in findings if not finding.holds)


def check_blessing(
    blessing: Blessing,
    *,
    artifact: str,
    now: datetime,
    scope: Scope,
    trust: Trust = NOBODY,
    expected: str | None = None,
) -> None:
    """Check that a blessing holds; the arguments are those of `examine_blessing`.

    Raises:
        NotBlessed: With the first test that it does not pass.
    """
    findings = examine_blessing(blessing, artifact=artifact, now=now, scope=scope, trust=trust, expected=expected)
    for finding in problems_in(findings):
        raise NotBlessed(finding.says)


def policies_of(environment: Mapping[str, str]) -> frozenset[str] | None:
    """The policies by which a pass counts, as the environment names them; None where it names none.

    Raises:
        InvalidSetting: What it names is no digest.
    """
    named = environment.get(POLICIES_SETTING, "").split()
    wrong = [one for one in named if not re.fullmatch(r"sha256:[0-9a-f]{64}", one)]
    if wrong:
        raise InvalidSetting(
            f"{POLICIES_SETTING} holds {shown(wrong[0])}; it must hold digests of policy files, sha256:..., with "
            "spaces between"
        )
    return frozenset(named) or None


def _policy(blessing: Blessing, policies: frozenset[str]) -> Finding:
    if blessing.policy not in policies:
        allowed = ", ".join(sorted(policies))
        says = (
            f"the blessing of {blessing.artifact} is by the policy {blessing.policy}; only a pass by {allowed} counts"
        )
        return Finding("policy", says, holds=False)
    return Finding("policy", f"it is by {blessing.policy}, a policy that counts")


def _bytes(blessing: Blessing, artifact: str) -> Finding:
    if blessing.artifact != artifact:
        says = f"the blessing is for {blessing.artifact}, not for {artifact}"
        return Finding("bytes", says, holds=False, was_blessed=False)
    return Finding("bytes", f"it is for these bytes, {artifact}")


def _record(blessing: Blessing, expected: str | None) -> Finding:
    found = blessing_id(blessing)
    if expected is not None and expected != found:
        says = f"the blessing of {blessing.artifact} was changed after it was given: it is {found}, and was {expected}"
        return Finding("record", says, holds=False, was_blessed=False)
    return Finding("record", f"it is {found}" + (", as it was kept" if expected else ""))


def _verdict(blessing: Blessing) -> Finding:
    is_open = (blessing.verdict, blessing.scope) == ("INCONCLUSIVE", "shadow") and blessing.awaits
    if blessing.verdict != "PASS" and not is_open:
        reason = " and names no check that live customers could settle" if blessing.scope == "shadow" else ""
        says = f"the blessing's verdict is {blessing.verdict}, not PASS{reason}"
        return Finding("verdict", says, holds=False, was_blessed=False)
    return Finding("verdict", f"{blessing.verdict}" + (f", awaiting {', '.join(blessing.awaits)}" if is_open else ""))


def _scope(blessing: Blessing, scope: Scope) -> Finding:
    if scope == "split" and blessing.scope != "split":
        says = f"the blessing of {blessing.artifact} reaches to scope {blessing.scope!r} only, not to {scope!r}"
        return Finding("scope", says, holds=False)
    return Finding("scope", f"it reaches to scope {blessing.scope!r}")


def _expiry(blessing: Blessing, now: datetime) -> Finding:
    day = f"{blessing.expires_at:%Y-%m-%d}"
    if now >= blessing.expires_at:
        says = f"the blessing of {blessing.artifact} expired on {day}; run the gate again"
        return Finding("expiry", says, holds=False)
    return Finding("expiry", f"it holds until {day}")


def _revocation(blessing: Blessing, revoked: Mapping[str, str]) -> Finding:
    told = revoked.get(blessing_id(blessing))
    if told is not None:
        says = f"the blessing of {blessing.artifact} was revoked {told}"
        return Finding("revocation", says, holds=False)
    return Finding("revocation", "it is not revoked")


def _signature(blessing: Blessing, keys: PublicKeys | None) -> Finding:
    """A signature that does not fit its own key says that the record was changed; one that is missing does not."""
    name = f"the blessing of {blessing.artifact}"
    if keys is None:
        said = f"signed by {blessing.key}, which is not looked at" if blessing.key else "not signed"
        return Finding("signature", f"{said}; {PUBLIC_KEY_SETTING} names no key")
    if blessing.key is None:
        says = f"{name} is not signed, and {PUBLIC_KEY_SETTING} asks for a signature"
        return Finding("signature", says, holds=False)
    if not keys.knows(blessing.key):
        known = ", ".join(keys.fingerprints)
        says = f"{name} is signed by another key, {blessing.key}; {PUBLIC_KEY_SETTING} knows {known}"
        return Finding("signature", says, holds=False)
    if not keys.is_signed(blessing):
        says = f"{name} does not bear the signature of {blessing.key}: it was changed after it was signed"
        return Finding("signature", says, holds=False, was_blessed=False)
    return Finding("signature", f"signed by {blessing.key}")
