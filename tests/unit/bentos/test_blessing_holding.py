"""A wrong blessing is refused in each of its ways, by name; and which of them a reigning champion survives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from test_artifact_blessing import EXPIRES, JUDGED, blessing

from bentos.artifact import (
    PublicKeys,
    SigningKey,
    Trust,
    blessing_id,
    check_blessing,
    examine_blessing,
    make_keys,
    problems_in,
)
from bentos.artifact.holding import POLICIES_SETTING, policies_of
from bentos.artifact.signing import read_public_keys, read_signing_key
from bentos.errors import InvalidSetting, NotBlessed

REIGNS, NEVER = True, False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("keys")
    for name in ("key", "other"):
        make_keys(found / name)
    return found


@pytest.fixture(scope="module")
def key(folder: Path) -> SigningKey:
    return read_signing_key(folder / "key")


@pytest.fixture(scope="module")
def other(folder: Path) -> SigningKey:
    return read_signing_key(folder / "other")


@pytest.fixture(scope="module")
def keys(folder: Path) -> PublicKeys:
    return read_public_keys(folder / "key.pub")


def examine(given, **changes):
    wanted = {"artifact": "sha256:a", "now": JUDGED, "scope": "split"} | changes
    return examine_blessing(given, **wanted)


@pytest.mark.parametrize(
    ("changes", "wanted", "test", "was_blessed", "told"),
    [
        ({}, {"artifact": "sha256:b"}, "bytes", NEVER, "is for sha256:a, not for sha256:b"),
        ({}, {"expected": "sha256:e"}, "record", NEVER, "was changed after it was given: it is sha256:"),
        ({"verdict": "FAIL"}, {}, "verdict", NEVER, "verdict is FAIL, not PASS"),
        ({"verdict": "INCONCLUSIVE"}, {}, "verdict", NEVER, "verdict is INCONCLUSIVE, not PASS"),
        (
            {"verdict": "INCONCLUSIVE", "scope": "shadow"},
            {"scope": "shadow"},
            "verdict",
            NEVER,
            "names no check that live customers could settle",
        ),
        ({"scope": "shadow"}, {}, "scope", REIGNS, "reaches to scope 'shadow' only, not to 'split'"),
        (
            {"verdict": "INCONCLUSIVE", "scope": "shadow", "awaits": ["mcnemar"]},
            {},
            "scope",
            REIGNS,
            "reaches to scope 'shadow' only, not to 'split'",
        ),
        ({}, {"now": EXPIRES}, "expiry", REIGNS, "expired on 2026-03-02; run the gate again"),
    ],
)
def test_each_way_fails_its_own_test_and_no_other(changes, wanted, test, was_blessed, told):
    given = blessing(**changes)
    (problem,) = problems_in(examine(given, **wanted))
    assert (problem.test, problem.was_blessed) == (test, was_blessed)
    assert told in problem.says
    with pytest.raises(NotBlessed) as caught:
        check_blessing(given, **({"artifact": "sha256:a", "now": JUDGED, "scope": "split"} | wanted))
    assert str(caught.value) == problem.says


def test_a_revoked_one_is_refused_with_who_when_and_why():
    given = blessing()
    trust = Trust(revoked={blessing_id(given): "by ann on 2026-02-01: unfair"})
    (problem,) = problems_in(examine(given, trust=trust))
    assert (problem.test, problem.was_blessed) == ("revocation", REIGNS)
    assert problem.says == "the blessing of sha256:a was revoked by ann on 2026-02-01: unfair"
    again = msgspec.structs.replace(given, judged_at=JUDGED + timedelta(days=1))
    assert not list(problems_in(examine(again, trust=trust)))


def test_an_unsigned_one_is_refused_where_a_key_is_named(keys):
    (problem,) = problems_in(examine(blessing(), trust=Trust(keys=keys)))
    assert (problem.test, problem.was_blessed) == ("signature", REIGNS)
    assert "is not signed, and GAUNTLET_BLESSING_PUBLIC_KEY_FILE asks for a signature" in problem.says


def test_one_that_another_key_signed_is_refused(keys, other):
    (problem,) = problems_in(examine(other.sign(blessing()), trust=Trust(keys=keys)))
    assert (problem.test, problem.was_blessed) == ("signature", REIGNS)
    assert f"signed by another key, {other.fingerprint}" in problem.says


@pytest.mark.parametrize(
    "change",
    [
        {"n": 14_000},
        {"expires_at": EXPIRES + timedelta(days=3650)},
        {"scope": "split"},
        {"data": "sha256:x"},
        {"policy": "sha256:x"},
        {"attempts": 1},
    ],
)
def test_one_that_was_changed_after_it_was_signed_was_never_given(keys, key, change):
    signed = key.sign(blessing(scope="shadow", attempts=9))
    forged = msgspec.structs.replace(signed, **change)
    (problem,) = problems_in(examine(forged, trust=Trust(keys=keys), scope="shadow"))
    assert (problem.test, problem.was_blessed) == ("signature", NEVER)
    assert "it was changed after it was signed" in problem.says


def test_a_signed_one_holds_and_says_by_whom(keys, key):
    findings = examine(key.sign(blessing()), trust=Trust(keys=keys))
    assert not list(problems_in(findings))
    assert f"signed by {key.fingerprint}" in [finding.says for finding in findings]
    assert [finding.test for finding in findings] == [
        "bytes", "record", "verdict", "signature", "revocation", "expiry", "scope",
    ]  # fmt: skip


def test_without_a_key_a_signature_is_not_looked_at_and_that_is_said(key):
    findings = {finding.test: finding.says for finding in examine(key.sign(blessing()))}
    assert findings["signature"].endswith("which is not looked at; GAUNTLET_BLESSING_PUBLIC_KEY_FILE names no key")


def test_an_open_verdict_holds_for_the_shadow():
    given = blessing(verdict="INCONCLUSIVE", scope="shadow", awaits=["mcnemar"])
    assert not list(problems_in(examine(given, scope="shadow")))


def test_a_pass_by_another_policy_than_those_that_count_is_named():
    allowed = frozenset({"sha256:" + "e" * 64})
    found = {one.test: one for one in examine(blessing(), trust=Trust(policies=allowed))}
    assert not found["policy"].holds
    assert found["policy"].was_blessed
    assert "only a pass by sha256:eeee" in found["policy"].says


@pytest.mark.parametrize(("named", "read"), [("", None), ("  ", None), ("sha256:" + "a" * 64, {"sha256:" + "a" * 64})])
def test_the_policies_that_count_are_named_by_digest(named, read):
    assert policies_of({POLICIES_SETTING: named}) == (read and frozenset(read))
    with pytest.raises(InvalidSetting, match=r"GAUNTLET_GATE_POLICIES holds 'production.yaml'; it must hold digests"):
        policies_of({POLICIES_SETTING: f"{named} production.yaml"})
