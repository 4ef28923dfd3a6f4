"""What a blessing must be like before its model becomes champion; one for the shadow is settled by live customers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bentos.artifact import Blessing, Trust, blessing_id, dump_blessing, make_keys, read_public_keys
from bentos.blessings import revoke
from bentos.errors import NotBlessed, NotFound
from bentos.registry import Version
from validation.judge.blessed import check_blessed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CHAMPION, CHALLENGER, OTHER = ("sha256:" + digit * 64 for digit in "123")


def blessing(artifact: str, **changes) -> Blessing:
    fields = {
        "artifact": artifact, "baseline": None, "data": "sha256:d", "policy": "sha256:p", "code": "0.1.0", "n": 1000,
        "seed": 0, "verdict": "PASS", "checks": [], "scope": "split", "judged_at": NOW - 2 * DAY,
        "expires_at": NOW + 30 * DAY,
    }  # fmt: skip
    return Blessing(**{**fields, **changes})


FIRST = blessing(CHAMPION)
CHAINED = {"baseline": CHAMPION, "previous": blessing_id(FIRST), "judged_at": NOW - DAY}
OPEN = CHAINED | {"verdict": "INCONCLUSIVE", "scope": "shadow", "awaits": ["non_inferiority"]}


class TwoModels:
    """The champion and the challenger, each with a blessing beside its artifact, and the champion's kept."""

    def __init__(self, challenger: Blessing | None, tags=None) -> None:
        self.blessings = {CHAMPION: FIRST, CHALLENGER: challenger}
        self.tags = tags or {}

    @property
    def challenger(self) -> Version:
        return Version(name="churn", number="2", digest=CHALLENGER, run="2", aliases=("challenger",), tags=self.tags)

    def find_by_digest(self, name, digest):
        found = {CHALLENGER: self.challenger, CHAMPION: Version(name="churn", number="1", digest=CHAMPION, run="1")}
        return found.get(digest)

    def fetch(self, version, folder):
        folder.mkdir()
        if self.blessings[version.digest] is not None:
            (folder / "blessing.json").write_bytes(dump_blessing(self.blessings[version.digest]))

    def fetch_file(self, version, path, folder):
        if path != "artifact/blessing.json":
            raise NotFound(f"the run of {version} has no {path}")
        found = folder / "blessing.json"
        found.write_bytes(dump_blessing(self.blessings[version.digest]))
        return found

    def tag(self, version, **tags):
        self.tags |= tags

    def drop_alias(self, name, alias):
        pass


def check(registry, *, now=NOW, trust=None, champion=CHAMPION):
    check_blessed(registry, registry.challenger, now=now, trust=trust or Trust(), champion=champion)


def test_a_chained_pass_may_become_champion():
    check(TwoModels(blessing(CHALLENGER, **CHAINED)))


def test_a_pass_that_was_judged_against_another_champion_may_too_as_live_customers_compared_with_this_one():
    check(TwoModels(blessing(CHALLENGER, **CHAINED)), champion=OTHER)


def test_an_open_verdict_is_settled_by_live_customers_who_compared_the_same_two():
    check(TwoModels(blessing(CHALLENGER, **OPEN)))


@pytest.mark.parametrize(
    ("given", "wanted", "told"),
    [
        (None, {}, "it passed no gate"),
        (blessing(OTHER, **CHAINED), {}, f"the blessing is for {OTHER}, not for {CHALLENGER}"),
        (blessing(CHALLENGER, **CHAINED | {"verdict": "INCONCLUSIVE"}), {}, "verdict is INCONCLUSIVE, not PASS"),
        (blessing(CHALLENGER, **CHAINED), {"now": NOW + 30 * DAY}, "expired on 2026-03-31"),
        (blessing(CHALLENGER, **OPEN), {"now": NOW + 30 * DAY}, "expired on 2026-03-31"),
        (blessing(CHALLENGER, **CHAINED | {"scope": "shadow"}), {}, "reaches to scope 'shadow' only"),
        (blessing(CHALLENGER, **OPEN), {"champion": OTHER}, "leaves non_inferiority to live customers who compare it"),
        (blessing(CHALLENGER, **OPEN), {"champion": None}, "reaches to scope 'shadow' only, not to 'split'"),
        (blessing(CHALLENGER, **OPEN | {"awaits": []}), {}, "names no check that live customers could settle"),
        (blessing(CHALLENGER, **CHAINED | {"previous": None}), {}, "it names no blessing before it"),
        (blessing(CHALLENGER, **CHAINED | {"previous": OTHER}), {}, "which never had that one"),
        (blessing(CHALLENGER, **CHAINED | {"baseline": OTHER}), {}, "which the registry does not have"),
    ],
)  # fmt: skip
def test_another_one_may_not(given, wanted, told):
    with pytest.raises(NotBlessed, match="churn version 2 must not serve: ") as caught:
        check(TwoModels(given), **wanted)
    assert told in str(caught.value)


def test_one_that_is_not_the_one_that_the_gate_gave_may_not():
    given = blessing(CHALLENGER, **CHAINED)
    tags = {"blessing": blessing_id(given)}
    check(TwoModels(given, tags))
    with pytest.raises(NotBlessed, match="was changed after it was given"):
        check(TwoModels(msgspec.structs.replace(given, n=2000), tags))


def test_one_that_was_revoked_may_not_whoever_says_so(tmp_path):
    given = blessing(CHALLENGER, **CHAINED)
    by_list = Trust(revoked={blessing_id(given): "by ann: unfair"})
    with pytest.raises(NotBlessed, match="was revoked by ann: unfair"):
        check(TwoModels(given), trust=by_list)
    registry = TwoModels(given)
    options = {"path": tmp_path / "r.json", "who": "ben", "now": NOW, "reason": "unfair"}
    revoke(registry, registry.challenger, given, **options)
    with pytest.raises(NotBlessed, match="was revoked by ben on 2026-03-01 00:00 UTC: unfair"):
        check(registry)


def test_one_that_nobody_signed_may_not_where_a_key_is_named(tmp_path):
    make_keys(tmp_path / "key")
    with pytest.raises(NotBlessed, match="is not signed"):
        check(TwoModels(blessing(CHALLENGER, **CHAINED)), trust=Trust(keys=read_public_keys(tmp_path / "key.pub")))
