"""Blessings in a registry: kept, counted, chained up to the first champion, and taken back."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from blessing_toys import KeepingRegistry
from test_artifact_blessing import JUDGED, blessing

from bentos.artifact import (
    Artifact,
    Blessing,
    Trust,
    blessing_id,
    dump_blessing,
    make_keys,
    read_blessing,
)
from bentos.artifact.signing import read_public_keys, read_signing_key
from bentos.blessings import (
    chain_of,
    check_anchored,
    count_attempt,
    data_finding,
    expected_of,
    find_blessing,
    keep_blessing,
    previous_of,
    revoke,
    revoked_in,
    seal,
    trusting,
)
from bentos.errors import BadInput, NotBlessed
from bentos.registry import Version
from bentos.revocations import read_revocations

DAY = timedelta(days=1)
HOLDOUT = "sha256:" + "8" * 64


@pytest.fixture
def registry(tmp_path: Path) -> KeepingRegistry:
    return KeepingRegistry(tmp_path / "registry")


def bless(registry, version: Version, *, against: Version | None = None, previous: Blessing | None = None, day=0):
    """Bless a version as a gate does, some days after the first."""
    baseline = None if against is None else against.digest
    judged_at = JUDGED + day * DAY
    said = blessing(version.digest, baseline=baseline, judged_at=judged_at, expires_at=judged_at + 30 * DAY)
    is_renewal = against is not None and against.number == version.number
    sealed = seal(said, holdout=HOLDOUT, attempts=1, previous=previous, is_renewal=is_renewal, key=None)
    keep_blessing(registry, version, sealed)
    return sealed


def test_attempts_on_one_holdout_are_counted_over_all_versions_of_a_name(registry):
    first, second = registry.add(), registry.add()
    assert [count_attempt(registry, registry.now(first), HOLDOUT) for _ in range(3)] == [1, 2, 3]
    assert count_attempt(registry, second, HOLDOUT) == 4
    assert count_attempt(registry, registry.now(first), HOLDOUT) == 5
    assert registry.tags["1"] == {"gate_holdout": HOLDOUT, "gate_attempts": "4"}
    assert registry.tags["2"] == {"gate_holdout": HOLDOUT, "gate_attempts": "1"}


def test_another_holdout_is_counted_by_itself(registry):
    first, second = registry.add(), registry.add()
    count_attempt(registry, first, HOLDOUT)
    assert count_attempt(registry, second, "sha256:other") == 1
    assert count_attempt(registry, registry.now(first), HOLDOUT) == 2


def test_a_count_that_is_none_is_refused_and_not_taken_for_nothing(registry):
    version = registry.add()
    registry.tag(version, gate_holdout=HOLDOUT, gate_attempts="many")
    with pytest.raises(BadInput, match="gate_attempts of churn version 1 is 'many'; it must be a whole number"):
        count_attempt(registry, registry.now(version), HOLDOUT)


def test_sealing_completes_and_signs(registry, tmp_path):
    make_keys(tmp_path / "key")
    champion = blessing("sha256:c")
    said = blessing("sha256:n", baseline="sha256:c")
    key = read_signing_key(tmp_path / "key")
    sealed = seal(said, holdout=HOLDOUT, attempts=7, previous=champion, is_renewal=False, key=key)
    assert (sealed.holdout, sealed.attempts, sealed.previous) == (HOLDOUT, 7, blessing_id(champion))
    assert sealed.baseline == "sha256:c"
    assert read_public_keys(tmp_path / "key.pub").is_signed(sealed)


def test_a_kept_blessing_lies_beside_the_artifact_with_the_run_and_in_the_tags(registry):
    version = registry.add()
    given = bless(registry, version)
    assert read_blessing(registry.folder / "1" / "artifact") == given
    assert expected_of(registry.now(version)) == blessing_id(given)
    (kept,) = (registry.folder / "1" / "blessings").iterdir()
    assert f"sha256:{kept.stem}" == blessing_id(given)
    assert kept.read_bytes() == dump_blessing(given)


def test_a_chain_leads_to_the_first_champion_over_renewals(registry):
    one, two, three = registry.add(), registry.add(), registry.add()
    first = bless(registry, one)
    renewed = bless(registry, one, against=one, previous=first, day=20)
    second = bless(registry, two, against=one, previous=renewed, day=30)
    bless(registry, one, against=one, previous=renewed, day=35)  # what is beside the artifact now is another one
    third = bless(registry, three, against=two, previous=second, day=40)
    assert renewed.baseline == one.digest
    chain = chain_of(registry, "churn", third)
    assert [link.blessing for link in chain] == [third, second, renewed, first]
    assert [link.version and link.version.number for link in chain] == [None, "2", "1", "1"]
    assert find_blessing(registry, one, blessing_id(first)) == first


def test_what_was_blessed_before_blessings_were_kept_is_found_beside_its_artifact(registry):
    one, two = registry.add(), registry.add()
    old = blessing(one.digest, schema_version=1)
    (registry.folder / "1" / "artifact" / "blessing.json").write_bytes(dump_blessing(old))
    second = bless(registry, two, against=one, previous=old, day=1)
    assert [link.blessing for link in chain_of(registry, "churn", second)] == [second, old]


def test_a_chain_that_names_what_the_champion_never_had_is_broken(registry):
    one, two = registry.add(), registry.add()
    bless(registry, one)
    other = blessing(one.digest, n=7)
    second = bless(registry, two, against=one, previous=other, day=1)
    told = (
        f"the chain is broken at {blessing_id(second)}: it names {blessing_id(other)} as a blessing of churn version 1"
    )
    with pytest.raises(NotBlessed, match=f"{told}, which never had that one"):
        chain_of(registry, "churn", second)


def test_a_chain_to_a_model_that_is_not_there_is_broken(registry):
    version = registry.add()
    first = blessing("sha256:gone")
    given = seal(
        blessing(version.digest, baseline="sha256:gone"),
        holdout=HOLDOUT,
        attempts=1,
        previous=first,
        is_renewal=False,
        key=None,
    )
    with pytest.raises(NotBlessed, match="a blessing of sha256:gone, which the registry does not have"):
        previous_of(registry, "churn", given)


def test_a_kept_blessing_that_was_changed_breaks_the_chain(registry):
    one, two = registry.add(), registry.add()
    first = bless(registry, one)
    second = bless(registry, two, against=one, previous=first, day=1)
    (kept,) = (registry.folder / "1" / "blessings").iterdir()
    kept.write_bytes(dump_blessing(msgspec.structs.replace(first, n=14_000)))
    with pytest.raises(NotBlessed, match=r"blessings/.* of churn version 1 is sha256:.*: it was changed"):
        chain_of(registry, "churn", second)


def test_a_blessing_before_its_champions_breaks_the_chain(registry):
    one, two = registry.add(), registry.add()
    first = bless(registry, one, day=2)
    with pytest.raises(NotBlessed, match="which was given after it"):
        chain_of(registry, "churn", bless(registry, two, against=one, previous=first, day=1))


def test_a_previous_one_that_is_for_other_bytes_breaks_the_chain(registry):
    one, two, three = registry.add(), registry.add(), registry.add()
    second = bless(registry, two)
    (registry.folder / "1" / "artifact" / "blessing.json").write_bytes(dump_blessing(second))
    with pytest.raises(NotBlessed, match=f"which is for {two.digest} and not for {one.digest}"):
        chain_of(registry, "churn", bless(registry, three, against=one, previous=second, day=3))


def test_a_model_that_was_compared_with_a_blessed_champion_must_name_its_blessing():
    champion = blessing("sha256:c")
    unchained = blessing("sha256:n", baseline="sha256:c", judged_at=JUDGED + DAY)
    with pytest.raises(NotBlessed, match=f"the champion that it was compared with had {blessing_id(champion)}"):
        check_anchored(unchained, champion)


@pytest.mark.parametrize(
    "changes",
    [
        {"judged_at": JUDGED - DAY},
        {"baseline": "sha256:other"},
        {"baseline": None},
        {"schema_version": 1},
        {"previous": "sha256:" + "5" * 64},
    ],
    ids=["judged before", "another baseline", "nobody", "version 1", "named"],
)
def test_it_need_not_where_there_was_none_to_name(changes):
    champion = blessing("sha256:c")
    given = {"baseline": "sha256:c", "judged_at": JUDGED + DAY} | changes
    check_anchored(blessing("sha256:n", **given), champion)
    check_anchored(blessing("sha256:n", baseline="sha256:c"), None)


def test_revoking_writes_the_list_the_tag_and_takes_the_alias(registry, tmp_path):
    version = registry.add()
    given = bless(registry, version)
    registry.set_alias(version, "challenger")
    path = tmp_path / "revocations.json"
    for _ in range(2):
        revoke(registry, registry.now(version), given, path=path, who="ann", now=JUDGED, reason=" unfair\nto the old ")
    (revocation,) = read_revocations(path)
    assert (revocation.blessing, revocation.artifact) == (blessing_id(given), version.digest)
    assert (revocation.model, revocation.who, revocation.reason) == ("churn version 1", "ann", "unfair to the old")
    assert registry.aliases == {}
    tags = registry.now(version).tags
    assert json.loads(tags["blessing_revoked"])["reason"] == "unfair to the old"
    told = {blessing_id(given): "by ann on 2026-01-31 12:00 UTC: unfair to the old"}
    assert revoked_in(tags) == told
    assert trusting(Trust(revoked={"x": "y"}), registry.now(version)).revoked == {"x": "y", **told}


def test_revoking_takes_no_alias_from_another_model(registry, tmp_path):
    version, other = registry.add(), registry.add()
    given = bless(registry, version)
    registry.set_alias(other, "challenger")
    revoke(registry, registry.now(version), given, path=tmp_path / "r.json", who="a", now=JUDGED, reason="b")
    assert registry.aliases == {"challenger": "2"}


def test_revoking_needs_a_reason(registry, tmp_path):
    version = registry.add()
    with pytest.raises(BadInput, match="the reason is empty"):
        revoke(registry, version, bless(registry, version), path=tmp_path / "r", who="a", now=JUDGED, reason="  ")
    assert not (tmp_path / "r").exists()


def test_a_revocation_tag_that_cannot_be_read_is_not_no_revocation():
    with pytest.raises(NotBlessed, match="the tag blessing_revoked cannot be read"):
        revoked_in({"blessing_revoked": "yes"})


def training_record(**changes) -> dict:
    record = {
        "data": "sha256:d", "is_synthetic": True, "rows": 10, "holdout": HOLDOUT, "holdout_rows": 2,
        "holdout_share": 0.2, "seed": 0, "estimator": "x", "parameters": {}, "left_out": [], "metrics": {},
        "parity": 0.0, "versions": {}, "git_revision": None, "run": None,
    }  # fmt: skip
    return record | changes


@pytest.mark.parametrize(
    ("changes", "told"),
    [({}, None), ({"data": "sha256:e"}, "is for the data sha256:d"), ({"holdout": "sha256:h"}, "is for the holdout")],
)
def test_a_blessing_speaks_of_the_data_that_the_model_was_made_with(tmp_path, changes, told):
    (tmp_path / "training.json").write_text(json.dumps(training_record(**changes)))
    artifact = Artifact(folder=tmp_path, digest="sha256:a")
    finding = data_finding(blessing(holdout=HOLDOUT), artifact)
    assert finding.holds == (told is None)
    assert (told or "the model's own holdout") in finding.says
    assert data_finding(blessing(), artifact).holds
