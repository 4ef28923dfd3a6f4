"""Blessings where they are asked for: who starts, who is left out, and what is said; a champion always restarts."""

from __future__ import annotations

import logging
import os
import re
from contextlib import contextmanager
from datetime import timedelta

import msgspec
import pytest
from serving_app import Served
from serving_toys import FEATURES, NOW, NOW_MICROS, artifact_of, bless, make_bento

from bentos.artifact import BlessedCheck, SigningKey, blessing_id, dump_blessing, make_keys, read_blessing
from bentos.artifact.signing import read_signing_key
from bentos.errors import InvalidSetting, NotBlessed
from bentos.folder import Folder
from bentos.revocations import Revocation, add_revocation
from bentos.roles import ROLES, BentoRoles, dump_roles, read_roles
from service.application import Application
from service.scoring.blessings import MOST_CHECKS
from service.scoring.experiment import first_experiment, set_split, start_shadow, write_experiment
from service.settings import read_settings

OPEN = {"verdict": "INCONCLUSIVE", "scope": "shadow", "awaits": ["non_inferiority"]}
LEAD = timedelta(0)


class Place:
    """A Bento of a champion and challengers, in a folder, with an experiment file."""

    def __init__(self, folder, blessings, mode="shadow"):
        self.folder = Folder(folder)
        self.bento = folder / "bento"
        self.digests = make_bento(self.bento, [0.3, 0.7, 0.9][: len(blessings)])
        self.clock = NOW_MICROS
        self.ids = []
        for digest, given in zip(self.digests, blessings, strict=True):
            made = None if given is None else bless(artifact_of(self.bento, digest), **given)
            self.ids.append(made and blessing_id(made))
        experiment = first_experiment(self.digests[0], now=NOW)
        if mode != "off":
            experiment = start_shadow(experiment, *self.digests[1:], now=NOW, salt="salt", lead=LEAD)
        if mode == "split":
            experiment = set_split(experiment, 1.0, now=NOW, lead=LEAD)
        self.experiment = experiment
        write_experiment(self.folder.experiment, experiment)

    @contextmanager
    def served(self, **settings):
        read = read_settings(folder=self.folder.path, bento=self.bento, worker="toy", **settings)
        application = Application(read, clock=lambda: self.clock, randomness=bytes)
        found = Served(self.folder.path, application, self.digests)
        try:
            yield found
        finally:
            found.loop.run_until_complete(application.stop())
            found.loop.close()

    def revoke(self, i, path=None):
        revocation = Revocation(
            blessing=self.ids[i], artifact=self.digests[i], model="toy", at=NOW, who="ann", reason="unfair"
        )
        add_revocation(path or self.folder.revocations, revocation)

    def pack(self, i, **changes):
        """As packing writes it."""
        path = self.bento / "src" / ROLES
        models = list(read_roles(path).models)
        models[i] = msgspec.structs.replace(models[i], **changes)
        path.write_bytes(dump_roles(BentoRoles(gauntlet="1", champion=models[0], challengers=tuple(models[1:]))))


@pytest.fixture
def key(tmp_path) -> SigningKey:
    make_keys(tmp_path / "key")
    return read_signing_key(tmp_path / "key")


def challengers(served):
    return [str(model.identity) for model in served.application.watch.roles(NOW_MICROS).challengers]


def holds(served):
    """By model, its role and whether its blessing holds."""
    found = {}
    for line in served.metrics().splitlines():
        if line.startswith("gauntlet_blessing_holds{"):
            role, model = (part.split('"')[1] for part in line.partition("}")[0].split(","))
            found[model] = (role, float(line.split()[-1]))
    return found


def test_blessed_models_serve_in_production_as_they_do_elsewhere(tmp_path):
    place = Place(tmp_path, [{}, {}])
    with place.served(production=True) as served:
        assert challengers(served) == ["toy:2"]
        assert holds(served) == {"toy:1": ("champion", 1.0), "toy:2": ("challenger", 1.0)}
        expires = f'{{role="champion",model="toy:1"}} {(NOW + timedelta(days=30)).timestamp()!r}'
        assert f"gauntlet_blessing_expires_timestamp_seconds{expires}" in served.metrics()
        judged = f'{{role="challenger",model="toy:2"}} {NOW.timestamp()!r}'
        assert f"gauntlet_blessing_judged_timestamp_seconds{judged}" in served.metrics()


def test_what_the_gate_measured_is_told_of_each_check_once_and_of_no_more_than_so_many(tmp_path):
    accuracy = BlessedCheck(name="accuracy", value=0.8, low=0.78, high=0.82, bound=0.75)
    again = BlessedCheck(name="accuracy", value=0.7)
    others = [BlessedCheck(name=f"slice {n}", value=None, bound=0.5) for n in range(MOST_CHECKS + 5)]
    with Place(tmp_path, [{"checks": [accuracy, again, *others]}, None]).served() as served:
        told = re.findall(r'^gauntlet_gate_check\{model="(.*)",check="(.*)",end="(.*)"\} (.*)$', served.metrics(), re.M)
        assert told[:4] == [
            ("toy:1", "accuracy", "observed", "0.8"),
            ("toy:1", "accuracy", "lower", "0.78"),
            ("toy:1", "accuracy", "upper", "0.82"),
            ("toy:1", "accuracy", "bound", "0.75"),
        ]
        assert told[4:] == [("toy:1", f"slice {n}", "bound", "0.5") for n in range(MOST_CHECKS - 1)]


def test_where_blessings_are_not_asked_for_their_lack_is_told_and_hinders_nobody(tmp_path, caplog):
    place = Place(tmp_path, [None, None])
    with place.served() as served:
        assert challengers(served) == ["toy:2"]
        assert holds(served) == {"toy:1": ("champion", 0.0), "toy:2": ("challenger", 0.0)}
        assert "gauntlet_blessing_expires_timestamp_seconds{" not in served.metrics()
    told = [record.model for record in caplog.records if record.message == "blessing_does_not_hold"]
    assert told == ["toy version 1", "toy version 2"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "toy version 1 must not be served: .* has no blessing.json: it passed no gate"),
        ({"verdict": "FAIL"}, "toy version 1 must not be served: the blessing's verdict is FAIL, not PASS"),
    ],
)
def test_a_champion_that_was_never_blessed_does_not_start_in_production(tmp_path, given, told):
    with pytest.raises(NotBlessed, match=told), Place(tmp_path, [given, {}]).served(production=True):
        pass


def test_a_champion_with_a_blessing_of_other_bytes_does_not_start_in_production(tmp_path):
    place = Place(tmp_path, [{}, {}])
    theirs = artifact_of(place.bento, place.digests[1]) / "blessing.json"
    (artifact_of(place.bento, place.digests[0]) / "blessing.json").write_bytes(theirs.read_bytes())
    told = f"the blessing is for {place.digests[1]}, not for {place.digests[0]}"
    with pytest.raises(NotBlessed, match=told), place.served(production=True):
        pass


def test_a_pass_by_a_policy_that_does_not_count_leaves_a_challenger_out_and_a_champion_with_an_alert(tmp_path, caplog):
    place = Place(tmp_path, [{}, {"policy": "sha256:" + "f" * 64}])
    own = read_blessing(artifact_of(place.bento, place.digests[0])).policy
    for counts, left in ((f"{own} sha256:{'f' * 64}", ["toy:2"]), (own, [])):
        with place.served(production=True, gate_policies=counts) as served:
            assert challengers(served) == left
    with place.served(production=True, gate_policies="sha256:" + "e" * 64) as served:
        assert holds(served) == {"toy:1": ("champion", 0.0), "toy:2": ("challenger", 0.0)}
        assert served.post("/v1/score", {"customer_id": "a", "features": FEATURES}).status_code == 200
    assert "only a pass by sha256:eee" in " ".join(
        str(record.reason) for record in caplog.records if hasattr(record, "reason")
    )


def test_a_blessing_that_was_changed_after_packing_does_not_count_even_where_nobody_signs(tmp_path):
    place = Place(tmp_path, [{}, {}])
    place.pack(0, blessing=place.ids[0])
    with place.served(production=True) as served:
        assert holds(served)["toy:1"] == ("champion", 1.0)
    folder = artifact_of(place.bento, place.digests[0])
    changed = msgspec.structs.replace(read_blessing(folder), seed=99)
    (folder / "blessing.json").write_bytes(dump_blessing(changed))
    with pytest.raises(NotBlessed, match="was changed after it was given"), place.served(production=True):
        pass


@pytest.mark.parametrize("given", [{"days": -1}, OPEN], ids=["expired", "shadow"])
def test_a_champion_that_was_blessed_once_always_restarts_with_an_alert(tmp_path, caplog, given):
    place = Place(tmp_path, [given, {}])
    with place.served(production=True) as served:
        assert served.post("/v1/score", {"customer_id": "a", "features": FEATURES}).status_code == 200
        assert holds(served)["toy:1"] == ("champion", 0.0)
        assert challengers(served) == ["toy:2"]
    (told,) = [record for record in caplog.records if record.message == "blessing_does_not_hold"]
    assert (told.role, told.levelno) == ("champion", logging.WARNING)


def test_a_revoked_champion_restarts_with_an_alert(tmp_path):
    place = Place(tmp_path, [{}, {}])
    place.revoke(0)
    with place.served(production=True) as served:
        assert served.application.not_ready() is None
        assert holds(served) == {"toy:1": ("champion", 0.0), "toy:2": ("challenger", 1.0)}


@pytest.mark.parametrize("is_rotated", [False, True])
def test_a_champion_that_this_key_did_not_sign_restarts_with_an_alert_and_a_challenger_is_left_out(
    tmp_path, key, is_rotated
):
    make_keys(tmp_path / "new")
    old = {"key": key} if is_rotated else {}
    place = Place(tmp_path, [old, old])
    with place.served(blessing_public_key_file=tmp_path / "new.pub") as served:
        assert served.application.not_ready() is None
        assert challengers(served) == []
        assert holds(served) == {"toy:1": ("champion", 0.0), "toy:2": ("challenger", 0.0)}


def test_signed_models_serve_where_a_key_is_named(tmp_path, key):
    place = Place(tmp_path, [{"key": key}, {"key": key}])
    with place.served(blessing_public_key_file=tmp_path / "key.pub") as served:
        assert challengers(served) == ["toy:2"]
        assert holds(served) == {"toy:1": ("champion", 1.0), "toy:2": ("challenger", 1.0)}


def test_a_champion_whose_signed_record_was_changed_does_not_start(tmp_path, key):
    place = Place(tmp_path, [{"key": key}, {"key": key}])
    path = artifact_of(place.bento, place.digests[0]) / "blessing.json"
    path.write_bytes(path.read_bytes().replace(b'"n": 100', b'"n": 999'))
    with (
        pytest.raises(NotBlessed, match="changed after it was signed"),
        place.served(blessing_public_key_file=tmp_path / "key.pub"),
    ):
        pass


def test_keys_that_cannot_be_read_are_a_bad_setting(tmp_path):
    place = Place(tmp_path, [{}, {}])
    with (
        pytest.raises(InvalidSetting, match=r"GAUNTLET_BLESSING_PUBLIC_KEY_FILE: .*away cannot be read"),
        place.served(blessing_public_key_file=tmp_path / "away"),
    ):
        pass


@pytest.mark.parametrize("given", [None, {"days": -1}, {"verdict": "FAIL"}], ids=["none", "expired", "failed"])
def test_a_challenger_whose_blessing_does_not_hold_is_left_out_and_the_champion_serves_alone(tmp_path, caplog, given):
    place = Place(tmp_path, [{}, given], mode="split")
    with place.served(production=True) as served:
        roles = served.application.watch.roles(NOW_MICROS)
        assert (roles.mode, roles.challengers) == ("off", ())
        answer = served.post("/v1/score", {"customer_id": "a", "features": FEATURES}).json()
        assert (answer["variant"], answer["probability"]) == ("champion", pytest.approx(0.3))
        assert holds(served)["toy:2"] == ("challenger", 0.0)
        assert served.application.watch.is_file_valid
    (told,) = [record for record in caplog.records if record.message == "challenger_left_out"]
    assert (told.model, told.levelno) == ("toy version 2", logging.ERROR)


def test_a_challenger_that_was_never_blessed_is_not_even_loaded(tmp_path):
    with Place(tmp_path, [{}, None]).served(production=True) as served:
        assert list(served.application.models.by_digest) == served.digests[:1]
        assert served.application.models.refused.keys() == {served.digests[1]}


def test_one_challenger_is_left_out_and_the_other_goes_on(tmp_path):
    with Place(tmp_path, [{}, {"days": -1}, {}], mode="split").served(production=True) as served:
        assert challengers(served) == ["toy:3"]


def test_a_left_out_challenger_is_not_asked_by_name_either(tmp_path):
    with Place(tmp_path, [{}, {"days": -1}]).served(production=True) as served:
        answer = served.get("/v2/models/toy/versions/2/ready")
        assert answer.status_code == 503
        assert "toy:2 is left out here, as the blessing of" in answer.json()["detail"]
        assert served.get("/v2/models/toy/versions/1/ready").status_code == 200


def test_a_challenger_that_was_promoted_and_then_expired_is_champion_and_restarts(tmp_path):
    place = Place(tmp_path, [{}, {"days": -1}], mode="off")
    write_experiment(place.folder.experiment, first_experiment(place.digests[1], now=NOW))
    with place.served(production=True) as served:
        answer = served.post("/v1/score", {"customer_id": "a", "features": FEATURES}).json()
        assert answer["probability"] == pytest.approx(0.7)
        assert holds(served) == {"toy:1": ("challenger", 1.0), "toy:2": ("champion", 0.0)}


def test_a_trial_does_not_break_off_when_its_blessing_expires_and_that_is_told(tmp_path):
    place = Place(tmp_path, [{"days": 1}, {"days": 1}])
    with place.served(production=True) as served:
        place.clock += 2 * 86_400_000_000
        assert challengers(served) == ["toy:2"]
        assert holds(served) == {"toy:1": ("champion", 0.0), "toy:2": ("challenger", 0.0)}


def test_a_revocation_ends_a_trial_at_once_in_phases_to_come_too(tmp_path):
    place = Place(tmp_path, [{}, {}])
    with place.served(production=True) as served:
        later = set_split(place.experiment, 0.5, now=NOW, lead=timedelta(hours=1))
        write_experiment(place.folder.experiment, later)
        served.application.watch.poll()
        assert challengers(served) == ["toy:2"]
        place.revoke(1)
        served.application._follow_revocations()
        assert challengers(served) == []
        assert holds(served)["toy:2"] == ("challenger", 0.0)
        place.clock += 2 * 3_600_000_000
        roles = served.application.watch.roles(place.clock)
        assert (roles.revision, roles.mode, roles.challengers) == (3, "off", ())


def test_a_revocation_that_is_taken_back_lets_the_trial_go_on(tmp_path):
    place = Place(tmp_path, [{}, {}])
    place.revoke(1)
    with place.served(production=True) as served:
        assert challengers(served) == []
        place.folder.revocations.unlink()
        served.application._follow_revocations()
        served.application.watch.poll()
        assert challengers(served) == ["toy:2"]


def test_revocations_that_cannot_be_read_at_the_start_leave_every_challenger_out_and_no_champion(tmp_path, caplog):
    place = Place(tmp_path, [{}, {}])
    with place.served(production=True, revocations_file=tmp_path / "away.json") as served:
        assert served.application.not_ready() is None
        assert challengers(served) == []
        assert holds(served) == {"toy:1": ("champion", 0.0), "toy:2": ("challenger", 0.0)}
        (tmp_path / "away.json").write_text('{"revoked": []}')
        served.application._follow_revocations()
        served.application.watch.poll()
        assert challengers(served) == ["toy:2"]
        assert holds(served) == {"toy:1": ("champion", 1.0), "toy:2": ("challenger", 1.0)}
    assert [record.message for record in caplog.records].count("revocations_unreadable") == 1


def test_revocations_that_cannot_be_read_any_more_stay_as_they_were_and_no_blessing_is_known_to_hold(tmp_path):
    place = Place(tmp_path, [{}, {}, {}])
    place.revoke(1)
    with place.served(production=True) as served:
        assert challengers(served) == ["toy:3"]
        place.folder.revocations.write_text("{")
        served.application._follow_revocations()
        assert challengers(served) == ["toy:3"]
        assert {held for _, held in holds(served).values()} == {0.0}


def test_a_list_that_did_not_change_is_not_read_again(tmp_path):
    place = Place(tmp_path, [{}, {}])
    place.revoke(1)
    with place.served(production=True) as served:
        assert served.application._blessings.poll() is False
        os.utime(place.folder.revocations, ns=(1, 1))
        assert served.application._blessings.poll() is True


@pytest.mark.parametrize("production", [False, True])
def test_a_split_for_a_challenger_of_the_shadow_is_refused_by_name_and_the_last_good_file_kept(tmp_path, production):
    place = Place(tmp_path, [{}, OPEN])
    with place.served(production=production) as served:
        assert challengers(served) == ["toy:2"]
        write_experiment(place.folder.experiment, set_split(place.experiment, 0.1, now=NOW, lead=LEAD))
        served.application.watch.poll()
        roles = served.application.watch.roles(NOW_MICROS)
        assert (roles.revision, roles.mode, roles.split) == (2, "shadow", 0.0)
        assert not served.application.watch.is_file_valid
        assert "gauntlet_experiment_file_valid 0.0" in served.metrics()


def test_a_server_that_starts_with_such_a_split_is_not_ready_and_says_why(tmp_path):
    with Place(tmp_path, [{}, OPEN], mode="split").served() as served:
        reason = served.application.not_ready()
        assert "split is 1 for toy:2, which is blessed for the shadow only; it must be 0" in reason


def test_the_scope_that_was_packed_counts_even_where_the_record_says_more(tmp_path):
    place = Place(tmp_path, [{}, {}], mode="split")
    place.pack(1, scope="shadow")
    with place.served() as served:
        assert "blessed for the shadow only" in served.application.not_ready()
