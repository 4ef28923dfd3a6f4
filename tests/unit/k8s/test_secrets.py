import base64
import hashlib

import pytest
from click.testing import CliRunner

from bentos.artifact import read_public_keys
from bentos.artifact.signing import read_signing_key
from bentos.errors import InvalidSetting
from bentos.revocations import parse_revocations
from bentos.strict_yaml import load_yaml
from k8s.commands import secrets
from k8s.secrets import TRUST_KEY, TRUST_REVOKED, make_secrets
from service.http.keys import read_keys


def content_of(manifests, name):
    (found,) = [m for m in manifests if m["metadata"]["name"] == name]
    return {key: base64.b64decode(value) for key, value in found["data"].items()}


def test_the_api_keys_secret_is_a_folder_that_the_service_reads(tmp_path):
    manifests, keys = make_secrets("shop", "crm")
    for scope, line in content_of(manifests, "gauntlet-api-keys").items():
        (tmp_path / scope).write_bytes(line)
    found = read_keys(tmp_path)
    for scope, key in keys.items():
        assert key.encode() not in content_of(manifests, "gauntlet-api-keys")[scope]
        assert found[hashlib.sha256(key.encode()).digest()].name == "crm"


def test_the_console_gets_a_key_that_may_score_and_record_and_no_more(tmp_path):
    manifests, keys = make_secrets("shop", "crm")
    for scope, lines in content_of(manifests, "gauntlet-api-keys").items():
        (tmp_path / scope).write_bytes(lines)
    console = content_of(manifests, "gauntlet-console")
    client = read_keys(tmp_path)[hashlib.sha256(console["api-key"]).digest()]
    assert (client.name, client.scopes) == ("console", {"score", "outcomes"})
    assert console["api-key"].decode() not in keys.values()
    assert len(console["session-key"]) >= 32


def test_nothing_is_the_same_twice():
    (first, keys), (second, other_keys) = (make_secrets("gauntlet", "first") for _ in range(2))
    for one, another in zip(first, second, strict=True):
        assert one["metadata"] == another["metadata"]
        same = {key for key, value in one["data"].items() if another["data"][key] == value}
        assert same <= {TRUST_REVOKED}  # an empty list is one
    assert not set(keys.values()) & set(other_keys.values())


def test_a_password_is_long_and_safe_in_a_url():
    (first, _) = make_secrets("gauntlet", "first")
    password = content_of(first, "gauntlet-database")["password"].decode()
    assert len(password) >= 40
    assert password.replace("-", "").replace("_", "").isalnum()
    assert len(content_of(first, "gauntlet-tombstone")["key"]) == 32


def test_the_command_prints_manifests_and_apart_from_them_the_keys():
    done = CliRunner().invoke(secrets, ["--namespace", "shop", "--client", "crm"])
    assert done.exit_code == 0
    listed = load_yaml(done.stdout.encode())
    assert listed["kind"] == "List"
    assert {item["metadata"]["namespace"] for item in listed["items"]} == {"shop"}
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        f"API key of crm for {scope}" for scope in ("score", "outcomes", "admin")
    ]
    for line in done.stderr.splitlines():
        assert line.split(": ")[1] not in done.stdout


def test_a_name_that_no_key_file_could_hold_is_refused():
    with pytest.raises(InvalidSetting, match="name"):
        make_secrets("gauntlet", "a b")


def test_what_the_gate_signs_with_the_secret_is_trusted_by_the_configmap(tmp_path):
    manifests, _ = make_secrets("gauntlet", "first")
    (trust,) = [m["data"] for m in manifests if m["kind"] == "ConfigMap"]
    (tmp_path / "key.pem").write_bytes(content_of(manifests, "gauntlet-blessing-key")["key.pem"])
    (tmp_path / TRUST_KEY).write_text(trust[TRUST_KEY])
    key = read_signing_key(tmp_path / "key.pem")
    assert read_public_keys(tmp_path / TRUST_KEY).knows(key.fingerprint)
    assert parse_revocations(trust[TRUST_REVOKED].encode(), "configmap") == ()
