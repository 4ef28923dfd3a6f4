"""API keys: who may ask what, kept as digests in files that may change while serving."""

import hashlib
import logging
import stat

import pytest
from click.testing import CliRunner

from bentos.errors import InvalidSetting, NotFound
from gauntlet import cli
from service.http.keys import Keys, add_key, key_line, make_key, read_keys, revoke_keys
from service.http.problems import HttpRefusal


def bearer(key):
    return f"Bearer {key}".encode()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys"


def refused(keys, authorization, scope):
    with pytest.raises(HttpRefusal) as found:
        keys.client_of(authorization, scope)
    return found.value


def test_a_key_lets_its_client_ask_what_its_scope_says(folder):
    key = add_key(folder, "score", "crm")
    keys = Keys(folder)
    assert keys.client_of(bearer(key), "score").name == "crm"
    assert keys.client_of(b"bearer  " + key.encode(), None).name == "crm"
    assert refused(keys, bearer(key), "outcomes").kind.status == 403


def test_a_key_of_the_administration_may_do_everything(folder):
    key = add_key(folder, "admin", "ops")
    for scope in ("score", "outcomes", "admin"):
        assert Keys(folder).client_of(bearer(key), scope).name == "ops"


@pytest.mark.parametrize("authorization", [None, b"", b"Bearer", b"Bearer ", b"Basic abc", b"Bearer wrong", b"\xff"])
def test_whoever_shows_no_known_key_is_told_how(folder, authorization):
    add_key(folder, "score", "crm")
    refusal = refused(Keys(folder), authorization, "score")
    assert refusal.kind.status == 401
    assert refusal.headers == ((b"www-authenticate", b"Bearer"),)
    assert "Bearer" in str(refusal) or "not known" in str(refusal)


def test_without_files_nobody_is_let_in(folder):
    assert refused(Keys(folder), bearer(make_key()), "score").kind.status == 401


def test_what_is_kept_is_a_digest_that_only_the_owner_reads(folder):
    key = add_key(folder, "score", "crm")
    content = (folder / "score").read_text()
    assert key not in content
    assert hashlib.sha256(key.encode()).hexdigest() in content
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_key_has_256_random_bits():
    keys = {make_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key.removeprefix("gauntlet_")) == 43 for key in keys)


def test_a_key_is_replaced_without_a_gap(folder):
    old = add_key(folder, "score", "crm")
    new = add_key(folder, "score", "crm")
    other = add_key(folder, "score", "web")
    keys = Keys(folder)
    assert {keys.client_of(bearer(key), "score").name for key in (old, new)} == {"crm"}
    assert revoke_keys(folder, "score", "crm", all_but_newest=True) == 1
    keys.poll()
    assert keys.client_of(bearer(new), "score").name == "crm"
    assert keys.client_of(bearer(other), "score").name == "web"
    assert refused(keys, bearer(old), "score").kind.status == 401


def test_a_client_may_have_several_scopes_by_one_key(folder):
    key = add_key(folder, "score", "crm")
    (folder / "outcomes").write_text(key_line(key, "crm") + "\n")
    assert Keys(folder).client_of(bearer(key), "outcomes").scopes == {"score", "outcomes"}


def test_a_secret_that_is_mounted_anew_is_seen(folder, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    old, new = make_key(), make_key()
    (tmp_path / "one" / "score").write_text(key_line(old, "crm"))
    (tmp_path / "two" / "score").write_text(key_line(new, "crm"))
    folder.mkdir()
    (folder / "..data").symlink_to(tmp_path / "one")
    (folder / "score").symlink_to("..data/score")
    keys = Keys(folder)
    (folder / "..new").symlink_to(tmp_path / "two")
    (folder / "..new").replace(folder / "..data")
    keys.poll()
    assert keys.client_of(bearer(new), "score").name == "crm"


def test_comments_and_empty_lines_may_stand_in_a_file(folder):
    key = make_key()
    folder.mkdir()
    (folder / "score").write_text(f"# made in spring\n\n{key_line(key, 'crm')}\n")
    assert next(iter(read_keys(folder).values())).name == "crm"


@pytest.mark.parametrize("content", [b"secret-key crm\n", b"\xff\xfe", b"0" * 64 + b"\n", b"0" * 64 + b" a b\n"])
def test_a_bad_file_keeps_the_last_good_keys_and_never_shows_what_it_holds(folder, content, caplog):
    key = add_key(folder, "score", "crm")
    keys = Keys(folder)
    (folder / "score").write_bytes(content)
    with caplog.at_level(logging.ERROR, logger="gauntlet.keys"):
        keys.poll()
        keys.poll()
    assert keys.is_valid is False
    assert keys.client_of(bearer(key), "score").name == "crm"
    assert len(caplog.records) == 1
    assert "secret-key" not in str(caplog.records[0].__dict__)


def test_files_that_could_not_be_read_for_a_moment_are_read_again_though_they_did_not_change(
    folder, monkeypatch, caplog
):
    key = add_key(folder, "score", "crm")
    keys = Keys(folder)
    revoke_keys(folder, "score", "crm")

    def fail(_folder):
        raise OSError("too many open files")

    with monkeypatch.context() as failing, caplog.at_level(logging.ERROR, logger="gauntlet.keys"):
        failing.setattr("service.http.keys.read_keys", fail)
        keys.poll()
        keys.poll()
    assert (keys.is_valid, len(caplog.records)) == (False, 1)
    keys.poll()
    assert keys.is_valid
    with pytest.raises(HttpRefusal):
        keys.client_of(bearer(key), "score")


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 65, "ü"])
def test_a_name_that_would_break_the_file_is_refused(folder, name):
    with pytest.raises(InvalidSetting, match="must be 1 to 64 letters"):
        add_key(folder, "score", name)
    assert not (folder / "score").exists()


def test_taking_away_the_keys_of_somebody_who_has_none_says_who_has(folder):
    add_key(folder, "score", "crm")
    with pytest.raises(NotFound, match="cmr has no key for score; these have: crm"):
        revoke_keys(folder, "score", "cmr")


def test_the_command_says_where_there_are_no_keys_and_how_one_is_made(tmp_path):
    listing = ["keys", "list", "--folder", str(tmp_path)]
    assert "there are no keys; `gauntlet keys add SCOPE CLIENT` makes one" in CliRunner().invoke(cli, listing).stderr
    CliRunner().invoke(cli, ["keys", "add", "score", "crm", "--folder", str(tmp_path)])
    found = CliRunner().invoke(cli, listing)
    assert found.stdout.split()[:2] == ["crm", "score"]
    assert found.stderr == ""
