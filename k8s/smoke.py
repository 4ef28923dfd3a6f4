"""The smoke test of a rollout: one customer's way through the Ingress, and what pods and Prometheus say afterwards.

The customer is the example of the service's own OpenAPI document, asked with the purpose `test`: answered and logged as
everybody is, and never evidence.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bentos.errors import InvalidSetting, Unavailable
from service import ids, metric_names

DRIFT_RULES = "gauntlet-drift"
"""How the groups of drift's rules begin."""

_SECONDS = 30
_JSON = "application/json"


@dataclass(frozen=True)
class Checked:
    """How one part of the smoke test came out.

    Attributes:
        name: What was tried.
        is_good: Whether it did what it should.
        said: What was seen, or what is wrong, in a sentence.
    """

    name: str
    is_good: bool
    said: str


@dataclass(frozen=True)
class Door:
    """The way in through an Ingress.

    Attributes:
        host: The name that the Ingress goes by.
        url: Where its controller answers.
        key: An API key of the scopes `score` and `outcomes`.
        authority: A file of certificates that sign the Ingress's; None: those that the system trusts.
    """

    host: str
    url: str
    key: str
    authority: Path | None = None

    def client(self) -> httpx.Client:
        """A client that asks for the host, wherever the controller answers.

        Raises:
            InvalidSetting: The address is no URL, host or key cannot be sent, or the file of certificates cannot be
                read.
        """
        check_url("--ingress", self.url)
        for name, value in (("--host", self.host), ("GAUNTLET_API_KEY", self.key)):
            if not (value.isascii() and value.isprintable()):  # which is not shown: it may be a key
                raise InvalidSetting(f"{name} must be printable ASCII in one line, and is not")
        try:
            trusted = ssl.create_default_context(cafile=self.authority)
        except OSError as e:
            raise InvalidSetting(f"--ca {self.authority} is no file of certificates: {e.strerror or e}") from e
        headers = {"host": self.host, "authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, verify=trusted, timeout=_SECONDS, trust_env=False)

    def ask(self, client: httpx.Client, path: str, body: object = None) -> Any:
        """What is answered to a body, or to a plain GET.

        Raises:
            Unavailable: Nobody answers, or a refusal or an error was answered; the message has the service's words.
        """
        named = {"sni_hostname": self.host} if urlsplit(self.url).scheme == "https" else {}
        method = "GET" if body is None else "POST"
        try:
            answer = client.request(method, path, json=body, extensions=named)
        except httpx.HTTPError as e:
            raise Unavailable(
                f"{method} {self.url}{path} for {self.host}: {' '.join(str(e).split()) or repr(e)}"
            ) from e
        if not answer.is_success:
            said = " ".join(answer.text.split())[:300]
            raise Unavailable(f"{method} {path} was answered {answer.status_code}: {said}")
        try:
            return answer.json()
        except ValueError as e:
            raise Unavailable(f"{method} {path} was answered by something else than JSON: {answer.text[:80]!r}") from e


def check_url(option: str, url: str) -> None:
    """See whether an option names an address that can be asked.

    Raises:
        InvalidSetting: It does not.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        is_url = False
    if not is_url:
        raise InvalidSetting(f"{option} is {url!r}; it must be a URL such as https://gauntlet.example:8443")


def smoke(
    door: Door,
    *,
    carried: Collection[str],
    metrics: Callable[[], Mapping[str, str]],
    rules: Callable[[], Sequence[str]] | None,
) -> tuple[Checked, ...]:
    """Walk a customer's whole way: score, explain, outcome; then ask the pods' metrics, and which rules are loaded.

    Args:
        door: The way in.
        carried: Digests of the models that the image carries: one of them must answer.
        metrics: What each ready scoring pod says under `/metrics`, by its name.
        rules: Names of the groups of rules that Prometheus has loaded; None: there is no Prometheus to ask.

    Returns:
        How each part came out; a part that rests on one that failed is not tried.

    Raises:
        InvalidSetting: What the door needs cannot be read.
    """
    with door.client() as client:
        walked = tuple(_walk(door, client, carried))
        said = metrics()
    return (*walked, _metrics(said), _blessings(said), *([_rules(rules)] if rules else []))


def _walk(door: Door, client: httpx.Client, carried: Collection[str]) -> Iterator[Checked]:
    try:
        examples = _examples(door.ask(client, "/docs/openapi.json"))
        asked = {**examples["/v1/score"], "purpose": "test"}
        answer = door.ask(client, "/v1/score", asked)
        who = answer["model"]["digest"]
    except (Unavailable, KeyError, TypeError) as e:
        yield Checked("score", False, _why(e))
        return
    model = f"{answer['model']['name']} version {answer['model']['version']}"
    is_ours = who in carried
    said = f"{answer['label']} at {answer['probability']:.3f}, answered by {model} as {answer['variant']}"
    yield Checked("score", is_ours, said if is_ours else f"{model} answered, {who}, which this image does not carry")
    yield _part("explain", lambda: _explain(door, client, examples["/v1/explain"]))
    outcome = {
        **examples["/v1/outcomes"]["outcomes"][0],
        "prediction_id": answer["prediction_id"],
        "observed_at": _moment_of(answer["prediction_id"]),
    }
    yield _part("outcome", lambda: _taken(door.ask(client, "/v1/outcomes", {"outcomes": [outcome]})))


def _moment_of(prediction_id: str) -> str:
    """When the server made a prediction: a truth may be no older, and by no other clock than the server's newer."""
    return datetime.fromtimestamp(ids.millis_of(prediction_id) / 1000, UTC).isoformat()


def _part(name: str, tried: Callable[[], str]) -> Checked:
    try:
        return Checked(name, True, tried())
    except (Unavailable, KeyError, TypeError) as e:
        return Checked(name, False, _why(e))


def _explain(door: Door, client: httpx.Client, asked: object) -> str:
    explanation = door.ask(client, "/v1/explain", asked)["explanation"]
    check = explanation["check"]
    if not check["difference"] <= check["tolerance"]:
        raise Unavailable(f"contributions do not add up to the answer: they differ by {check['difference']:g}")
    return str(explanation["summary"])


def _taken(answer: Mapping[str, Any]) -> str:
    return f"{answer['accepted']} taken"


def _examples(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the OpenAPI document gives to be sent to each route."""
    found: dict[str, Any] = {}
    for path, operations in document["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {})
        if "example" in content.get(_JSON, {}):
            found[path] = content[_JSON]["example"]
    return found


def _metrics(said: Mapping[str, str]) -> Checked:
    """Every pod counts, and one of them counted the customer of this test."""
    silent = [pod for pod, text in said.items() if metric_names.EXPERIMENT_REVISION not in text]
    if silent or not said:
        return Checked("metrics", False, f"{', '.join(silent)} say nothing" if said else "no scoring pod is ready")
    if not any(_counted(line) for text in said.values() for line in text.splitlines()):
        return Checked("metrics", False, f"none of {len(said)} pods counted the prediction of this test")
    return Checked("metrics", True, f"{len(said)} pods count")


def _blessings(said: Mapping[str, str]) -> Checked:
    """No pod leaves a challenger out; a champion whose blessing does not hold serves on, with an alert."""
    held = {line.partition(" ")[0]: float(line.rpartition(" ")[2]) for text in said.values()
            for line in text.splitlines() if line.startswith(f"{metric_names.BLESSING_HOLDS}{{")}  # fmt: skip
    missing = sorted(series for series, holds in held.items() if not holds)
    left_out = [series for series in missing if 'role="challenger"' in series]
    if left_out:
        told = "the pods leave it out, and their logs say why"
        return Checked("blessings", False, f"{', '.join(left_out)} is 0: {told}")
    return Checked("blessings", True, f"{len(held) - len(missing)} of {len(held)} models are blessed")


def _counted(line: str) -> bool:
    """Whether a line of metrics says that predictions of this kind were made."""
    is_ours = line.startswith(f"{metric_names.PREDICTIONS}{{") and 'purpose="test"' in line
    return is_ours and float(line.rpartition(" ")[2]) > 0


def _rules(rules: Callable[[], Sequence[str]]) -> Checked:
    try:
        loaded = rules()
    except Unavailable as e:
        return Checked("drift rules", False, str(e))
    found = [name for name in loaded if name.startswith(DRIFT_RULES)]
    if not found:
        return Checked(
            "drift rules", False, f"Prometheus has no group {DRIFT_RULES}; it has {', '.join(loaded) or 'none'}"
        )
    return Checked("drift rules", True, f"{', '.join(found)} loaded")


def loaded_rules(url: str) -> tuple[str, ...]:
    """Names of the groups of rules that a Prometheus has loaded.

    Raises:
        Unavailable: It does not answer.
    """
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/rules", timeout=_SECONDS, trust_env=False)
        answer.raise_for_status()
        return tuple(str(group["name"]) for group in answer.json()["data"]["groups"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as e:
        raise Unavailable(f"Prometheus at {url} does not tell its rules: {' '.join(str(e).split())}") from e


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Unavailable) else f"the answer lacks {error}"
