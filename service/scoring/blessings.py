"""The blessings of what a Bento carries: who may start, who may be on trial, and what is said of it.

Where blessings are asked for, a model that was never blessed is not even loaded (a champion's process then does not
start), and a challenger whose blessing does not hold is left out: the champion serves alone. A reigning champion whose
blessing expired, was revoked or bears another key's signature starts all the same, with an alert. Expiry is looked at
when the process starts, so that no trial breaks off at midnight; a revocation counts at once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from bentos.artifact import (
    BlessedCheck,
    Blessing,
    Finding,
    PublicKeys,
    Scope,
    Trust,
    examine_blessing,
    problems_in,
    read_blessing,
)
from bentos.errors import BadInput, NotBlessed
from bentos.revocations import read_revocations, told_by_id
from bentos.roles import PackedModel
from service.stamps import Stamp, stamp_of

logger = logging.getLogger("gauntlet.blessings")

MOST_CHECKS = 64
"""So many checks of a blessing are told in metrics, the first ones: a policy may have any number."""


@dataclass(frozen=True)
class BlessingState:
    """What metrics say of one model's blessing.

    Attributes:
        role: `champion`, or `challenger` for any other model that the Bento carries.
        model: Name and version.
        holds: Whether it holds now for that role.
        expires_at: Seconds since 1970 UTC; None where there is no blessing.
        judged_at: When the gate gave it, in the same seconds.
        checks: What it measured, each check once.
    """

    role: str
    model: str
    holds: bool
    expires_at: float | None
    judged_at: float | None
    checks: tuple[BlessedCheck, ...] = ()


@dataclass(frozen=True)
class _Packed:
    name: str
    label: str
    digest: str
    blessing: Blessing | None
    reason: str
    expected: str | None = None
    """The blessing's id when it was packed."""

    @cached_property
    def checks(self) -> tuple[BlessedCheck, ...]:
        """Those of its blessing that are told."""
        found: dict[str, BlessedCheck] = {}
        for one in () if self.blessing is None else self.blessing.checks:
            found.setdefault(one.name, one)
        return tuple(found.values())[:MOST_CHECKS]


class Blessings:
    """What is known of the packed models' blessings in this process."""

    def __init__(
        self,
        *,
        is_asked_for: bool,
        started: datetime,
        keys: PublicKeys | None = None,
        policies: frozenset[str] | None = None,
        revocations: Path | None = None,
        must_exist: bool = False,
    ) -> None:
        """Read the revocations; a list that cannot be read leaves every challenger out, and no champion.

        Args:
            is_asked_for: Whether a model without a blessing that holds must not serve.
            started: When blessings have to hold, with a time zone.
            keys: Whose signatures count; None where nobody needs to have signed.
            policies: Digests of the policies by which a pass counts; None: by any.
            revocations: The installation's list; None where there is none.
            must_exist: Whether that list was named, so that its absence is no empty list.
        """
        self._is_asked_for = is_asked_for
        self._started = started
        self._revocations = revocations
        self._must_exist = must_exist
        self._trust = Trust(keys=keys, policies=policies)
        self._packed: dict[str, _Packed] = {}
        self._lasting: dict[tuple[str, Scope], bool] = {}
        self._stamp: Stamp | None = None
        self._unreadable: str | None = None
        self._was_read = False
        self._read()

    def admit(self, packed: PackedModel, folder: Path) -> str | None:
        """Look at a packed model before it is loaded.

        Args:
            packed: As `roles.json` names it.
            folder: Its verified artifact.

        Returns:
            Why it must not be loaded; None where it may.
        """
        name, label = f"{packed.name} version {packed.version}", f"{packed.name}:{packed.version}"
        try:
            found = _Packed(name, label, packed.digest, read_blessing(folder), "", packed.blessing)
        except NotBlessed as e:
            found = _Packed(name, label, packed.digest, None, str(e))
        self._packed[packed.digest] = found
        never = next((one for one in self._problems(found, "shadow", self._started) if not one.was_blessed), None)
        return f"{name} must not be served: {never.says}" if never and self._is_asked_for else None

    def scopes(self, packed: Mapping[str, Scope]) -> dict[str, Scope]:
        """How far each model may go: as it was packed, and never further than its blessing says.

        Args:
            packed: By digest, as `roles.json` says.
        """
        own = {digest: one.blessing.scope for digest, one in self._packed.items() if one.blessing is not None}
        return {digest: "shadow" if own.get(digest) == "shadow" else scope for digest, scope in packed.items()}

    def left_out(self) -> dict[str, str]:
        """Who must not be on trial, by digest, and why; nobody where blessings are not asked for.

        One of them may be champion: it reigns.
        """
        if not self._is_asked_for:
            return {}
        reasons = {digest: self._reason(one) for digest, one in self._packed.items()}
        return {digest: reason for digest, reason in reasons.items() if reason}

    def poll(self) -> bool:
        """Read the revocations again if they changed; whether anything may have changed for anybody."""
        if self._revocations is None or stamp_of(self._revocations) == self._stamp:
            return False
        self._read()
        return True

    def states(self, champion: str | None, now: datetime) -> tuple[BlessingState, ...]:
        """What metrics say.

        Args:
            champion: Digest of the one that serves by default now; None while there is none.
            now: With a time zone.
        """
        return tuple(self._state(one, is_champion=one.digest == champion, now=now) for one in self._packed.values())

    def tell(self, champion: str) -> None:
        """Log whose blessing does not hold, and what that means.

        Args:
            champion: Digest of the Bento's own champion.
        """
        for one in self._packed.values():
            is_champion = one.digest == champion
            for problem in self._problems(one, "split" if is_champion else "shadow", self._started):
                role = "champion" if is_champion else "challenger"
                extra = {"role": role, "model": one.name, "test": problem.test, "reason": problem.says}
                if is_champion or not self._is_asked_for:
                    logger.warning("blessing_does_not_hold", extra=extra)
                else:
                    logger.error("challenger_left_out", extra=extra)

    def _reason(self, one: _Packed) -> str | None:
        if self._unreadable and not self._was_read:
            return self._unreadable
        problem = next(iter(self._problems(one, "shadow", self._started)), None)
        return None if problem is None else problem.says

    def _state(self, one: _Packed, *, is_champion: bool, now: datetime) -> BlessingState:
        expires_at = None if one.blessing is None else one.blessing.expires_at
        is_good = self._unreadable is None and self._is_good(one, "split" if is_champion else "shadow")
        return BlessingState(
            role="champion" if is_champion else "challenger",
            model=one.label,
            holds=is_good and expires_at is not None and now < expires_at,
            expires_at=None if expires_at is None else expires_at.timestamp(),
            judged_at=None if one.blessing is None else one.blessing.judged_at.timestamp(),
            checks=one.checks,
        )

    def _is_good(self, one: _Packed, scope: Scope) -> bool:
        """Whether it holds but for its expiry; asked four times a second, so a signature is looked at once a list."""
        if one.blessing is None:
            return False
        key = (one.digest, scope)
        if key not in self._lasting:
            self._lasting[key] = not self._problems(one, scope, one.blessing.judged_at)
        return self._lasting[key]

    def _problems(self, one: _Packed, scope: Scope, now: datetime) -> list[Finding]:
        if one.blessing is None:
            return [Finding("record", one.reason, holds=False, was_blessed=False)]
        found = examine_blessing(
            one.blessing, artifact=one.digest, now=now, scope=scope, trust=self._trust, expected=one.expected
        )
        return list(problems_in(found))

    def _read(self) -> None:
        """Take the list up; one that cannot be read leaves what is known, and no blessing is then known to hold."""
        if self._revocations is None:
            return
        self._stamp = stamp_of(self._revocations)
        try:
            found = told_by_id(read_revocations(self._revocations, must_exist=self._must_exist))
        except BadInput as e:
            logger.error("revocations_unreadable", extra={"reason": str(e)})
            self._unreadable = str(e)
            return
        self._unreadable, self._was_read = None, True
        self._trust = replace(self._trust, revoked=found)
        self._lasting.clear()
