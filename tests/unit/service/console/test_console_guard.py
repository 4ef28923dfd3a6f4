"""Who may come into the console, and what every answer carries."""

import re
from pathlib import Path

import flask
import pytest
from console_toys import ORIGIN, browser, keys_in, log_in, settings_in

from bentos.errors import InvalidSetting
from service.console.app import make_app
from service.console.sessions import EndedSessions
from service.console.sources import Sources
from service.http.keys import revoke_keys

HTML = {"Accept": "text/html"}


def who_is_in(client):
    with client:
        client.get("/_dash-layout")
        return flask.g.get("viewer")


def test_on_loopback_without_keys_whoever_sits_there_is_an_operator(tmp_path: Path) -> None:
    client = browser(tmp_path)
    assert client.get("/").status_code == 200
    assert who_is_in(client).is_operator


def test_a_name_of_somebody_else_that_leads_here_is_refused_where_nobody_logs_in(tmp_path: Path) -> None:
    answer = browser(tmp_path).get("/", headers={"Host": "evil.example"})
    assert answer.status_code == 403


def test_keys_ask_for_a_login_even_on_loopback(tmp_path: Path) -> None:
    keys_in(tmp_path)
    client = browser(tmp_path)
    answer = client.get("/production", headers=HTML)
    assert (answer.status_code, answer.location) == (303, "/login?next=/production")
    assert client.get("/_dash-layout").status_code == 401
    assert client.get("/login-of-another-name", headers=HTML).status_code == 303


def test_nothing_is_asked_ahead_for_who_may_not_come_in(tmp_path: Path) -> None:
    key, asked = keys_in(tmp_path)["score"], []
    sources = Sources(settings_in(tmp_path))
    sources.ask_ahead = lambda page, _questions: asked.append(page)  # type: ignore[method-assign]
    client = make_app(settings_in(tmp_path), sources).server.test_client()
    assert client.get("/production", headers=HTML).status_code == 303
    assert asked == []
    log_in(client, key)
    client.get("/_dash-layout")
    assert asked == []
    assert client.get("/production", headers=HTML).status_code == 200
    assert asked == ["/production"]


def test_elsewhere_than_on_loopback_nobody_comes_in_without_keys(tmp_path: Path) -> None:
    assert browser(tmp_path, host="0.0.0.0").get("/_dash-layout").status_code == 401


@pytest.mark.parametrize(("scope", "role"), [("admin", "operator"), ("score", "read_only")])
def test_a_key_says_what_its_owner_may_do(tmp_path: Path, scope: str, role: str) -> None:
    key = keys_in(tmp_path)[scope]
    client = browser(tmp_path)
    assert log_in(client, key).status_code == 303
    assert who_is_in(client).role == role


def test_a_key_for_outcomes_alone_may_not_look(tmp_path: Path) -> None:
    client = browser(tmp_path)
    assert log_in(client, keys_in(tmp_path)["outcomes"]).status_code == 403
    assert client.get("/_dash-layout").status_code == 401


def test_a_key_that_nobody_knows_stays_outside_and_is_not_repeated(tmp_path: Path) -> None:
    keys_in(tmp_path)
    answer = log_in(browser(tmp_path), "gauntlet_<script>")
    assert answer.status_code == 401
    assert b'<script>"' not in answer.data
    assert b"gauntlet_" not in answer.data


def test_taking_a_key_away_ends_its_sessions(tmp_path: Path) -> None:
    client = browser(tmp_path)
    log_in(client, keys_in(tmp_path)["admin"])
    assert client.get("/_dash-layout").status_code == 200
    revoke_keys(tmp_path / "keys", "admin", "admin-person")
    assert client.get("/_dash-layout").status_code == 401


def test_a_session_is_over_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = browser(tmp_path, session_seconds=60)
    log_in(client, keys_in(tmp_path)["admin"])
    with client.session_transaction() as session:
        session["until"] -= 61
    assert client.get("/_dash-layout").status_code == 401


def test_a_cookie_that_was_signed_elsewhere_is_worth_nothing(tmp_path: Path) -> None:
    key = keys_in(tmp_path)["admin"]
    first, second = browser(tmp_path), browser(tmp_path)
    log_in(first, key)
    second.set_cookie("gauntlet_console", first.get_cookie("gauntlet_console").value)
    assert second.get("/_dash-layout").status_code == 401


def test_replicas_with_one_session_key_know_each_others_sessions(tmp_path: Path) -> None:
    key = keys_in(tmp_path)["admin"]
    (tmp_path / "session").write_text("x" * 32)
    first, second = (browser(tmp_path, session_key_file=tmp_path / "session") for _ in range(2))
    log_in(first, key)
    second.set_cookie("gauntlet_console", first.get_cookie("gauntlet_console").value)
    assert second.get("/_dash-layout").status_code == 200


def test_a_short_session_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "session").write_text("short")
    with pytest.raises(InvalidSetting, match="at least 32"):
        browser(tmp_path, session_key_file=tmp_path / "session")


def test_logging_out_ends_the_session(tmp_path: Path) -> None:
    client = browser(tmp_path)
    log_in(client, keys_in(tmp_path)["admin"])
    assert client.post("/logout", headers=ORIGIN).status_code == 303
    assert client.get("/_dash-layout").status_code == 401


def test_a_cookie_that_was_copied_is_worth_nothing_once_its_owner_logged_out(tmp_path: Path) -> None:
    key = keys_in(tmp_path)["admin"]
    app = make_app(settings_in(tmp_path)).server
    owner, thief, other = (app.test_client() for _ in range(3))
    log_in(owner, key)
    log_in(other, key)
    thief.set_cookie("gauntlet_console", owner.get_cookie("gauntlet_console").value)
    assert thief.get("/_dash-layout").status_code == 200
    owner.post("/logout", headers=ORIGIN)
    assert thief.get("/_dash-layout").status_code == 401
    assert other.get("/_dash-layout").status_code == 200  # of the same key, and nobody ended it


def test_who_logs_out_when_their_time_is_over_sees_the_login_and_no_error(tmp_path: Path) -> None:
    keys_in(tmp_path)
    answer = browser(tmp_path).post("/logout", headers=ORIGIN)
    assert (answer.status_code, answer.location) == (303, "/login")


def test_ended_sessions_are_remembered_until_their_time_is_over() -> None:
    ended = EndedSessions()
    ended.end("a", until=100.0, now=10.0)
    ended.end("late", until=9.0, now=10.0)
    assert "a" in ended
    assert "late" not in ended
    ended.end("b", until=300.0, now=101.0)
    assert "a" not in ended
    assert len(ended) == 1


def test_the_cookie_is_for_the_browser_alone_and_for_this_site(tmp_path: Path) -> None:
    key = keys_in(tmp_path)["admin"]
    plain = log_in(browser(tmp_path), key).headers["Set-Cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    assert "Secure" in log_in(browser(tmp_path, host="0.0.0.0"), key).headers["Set-Cookie"]
    assert key not in plain


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://[::1"}]
)
def test_what_changes_something_must_come_from_a_page_of_ours(tmp_path: Path, headers: dict[str, str]) -> None:
    assert browser(tmp_path).post("/_dash-update-component", json={}, headers=headers).status_code == 403


def test_an_origin_that_the_settings_name_is_ours(tmp_path: Path) -> None:
    client = browser(tmp_path, origins="https://console.example.org")
    answer = client.post("/logout", headers={"Origin": "https://console.example.org"})
    assert answer.status_code == 303


def test_a_proxy_is_believed_only_if_it_is_named(tmp_path: Path) -> None:
    keys_in(tmp_path)
    says = {"X-Forwarded-User": "ann@example.org"}
    assert browser(tmp_path).get("/_dash-layout", headers=says).status_code == 401
    trusting = browser(tmp_path, trusted_proxies="127.0.0.1", proxy_operators="bob@example.org")
    with trusting:
        assert trusting.get("/_dash-layout", headers=says).status_code == 200
        assert flask.g.viewer.role == "read_only"
        trusting.get("/_dash-layout", headers={"X-Forwarded-User": "bob@example.org"})
        assert flask.g.viewer.is_operator


@pytest.mark.parametrize("says", [{}, {"X-Forwarded-User": ""}, {"X-Forwarded-User": " "}])
def test_whom_a_proxy_does_not_name_is_nobody(tmp_path: Path, says: dict[str, str]) -> None:
    trusting = browser(tmp_path, trusted_proxies="127.0.0.1", proxy_operators="bob@example.org")
    assert trusting.get("/_dash-layout", headers=says).status_code == 401


@pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example", "/\\evil.example", "evil"])
def test_a_login_leads_nowhere_else(tmp_path: Path, onward: str) -> None:
    key = keys_in(tmp_path)["admin"]
    answer = browser(tmp_path).post("/login", query_string={"next": onward}, data={"key": key}, headers=ORIGIN)
    assert answer.location == "/"


def test_every_answer_is_sealed(tmp_path: Path) -> None:
    for path in ("/", "/login", "/livez", "/nothing"):
        headers = browser(tmp_path).get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "'unsafe-inline'" not in policy.partition("style-src")[0]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"


def test_browsers_keep_code_and_nothing_else(tmp_path: Path) -> None:
    client = browser(tmp_path)
    scripts = re.findall(r"""src=["']([^"']+)""", client.get("/").text)
    assert any(script.endswith(".min.js") and "/plotly." in script for script in scripts)
    for script in scripts:
        kept = client.get(script, buffered=True)
        assert kept.status_code == 200
        assert "max-age=31536000" in kept.headers["Cache-Control"]
    later = "/_dash-component-suites/dash/dcc/async-graph.js"
    first = client.get(later, buffered=True)
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "private, no-cache")
    assert client.get(later, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    assert client.get("/assets/nothing.js").headers["Cache-Control"] == "no-store"


def test_the_page_asks_no_other_host(tmp_path: Path) -> None:
    page = browser(tmp_path).get("/").text
    asked = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(asked) > 5
    assert all(address.startswith("/") and not address.startswith("//") for address in asked)


def test_probes_need_no_login(tmp_path: Path) -> None:
    keys_in(tmp_path)
    client = browser(tmp_path)
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    (tmp_path / "keys" / "score").write_text("nonsense\n")
    assert client.get("/readyz").status_code == 503
