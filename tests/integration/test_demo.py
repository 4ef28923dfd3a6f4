"""The demo as a newcomer runs it: twice at once with one seed, as processes, and what they leave behind."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parents[2]
SEED = "7"

pytestmark = pytest.mark.timeout(900)  # two demos at once, which may take ten minutes where coverage is measured


def gauntlet(*arguments, **options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GAUNTLET_", "MLFLOW_"))}
    command = [sys.executable, str(ROOT / "gauntlet.py"), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Two demos with the same seed: folder, output and record of each."""
    folders = [tmp_path_factory.mktemp("demo") / name for name in ("one", "two")]
    with ExitStack() as stack:
        told = [("demo", "--seed", SEED, "--folder", folder, "--json", f"{folder}.json") for folder in folders]
        running = [stack.enter_context(gauntlet(*one)) for one in told]
        for process in running:
            stack.callback(process.kill)  # nothing happens to one that has ended
        said = [process.communicate(timeout=600) for process in running]
    for process, (out, err) in zip(running, said, strict=True):
        assert process.returncode == 0, err + out[-3000:]
    records = [json.loads(Path(f"{folder}.json").read_text()) for folder in folders]
    return [(folder, out, record) for folder, (out, _), record in zip(folders, said, records, strict=True)]


@pytest.fixture
def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data, headers={"content-type": "application/json"}), timeout=10) as response:
        return json.load(response)


def test_a_better_challenger_is_promoted_and_a_harmful_one_rolled_back(played):
    _, _, record = played[0]
    assert [decision["verdict"] for decision in record["decisions"]] == ["PROMOTE", "ROLLBACK"]
    for decision in record["decisions"]:
        assert decision["matured"] > 0
        assert decision["log_e"] >= math.log(20)
        assert decision["reasons"]


def test_the_gate_passes_three_candidates_and_stops_the_plainly_worse_one(played):
    _, _, record = played[0]
    assert [gate["verdict"] for gate in record["gates"]] == ["PASS", "PASS", "PASS", "FAIL"]
    assert any(reason.startswith("accuracy:") for reason in record["gates"][-1]["reasons"])


def test_the_same_seed_gives_the_same_decisions_on_the_same_evidence(played):
    first, second = (record for _, _, record in played)
    assert first["decisions"] == second["decisions"]
    assert first["data"]["digest"] == second["data"]["digest"]

    def looks(record):
        return [experiment["looks"] for experiment in record["experiments"]]

    assert looks(first) == looks(second)
    assert [gate["checks"] for gate in first["gates"]] == [gate["checks"] for gate in second["gates"]]


def test_evidence_grows_in_the_shadow_and_then_under_a_split(played):
    _, _, record = played[0]
    for experiment in record["experiments"]:
        looks = experiment["looks"]
        assert [look["mode"] for look in looks[:3]] == ["shadow", "shadow", "split"]
        assert all(look["answered_by_challenger"] == 0 for look in looks if look["mode"] == "shadow")
        assert any(look["answered_by_challenger"] > 0 for look in looks if look["mode"] == "split")
        matured = [look["evidence"]["matured"] for look in looks]
        assert matured == sorted(matured)
        assert len(set(matured)) == len(matured)


def test_after_the_promotion_the_next_customer_is_answered_by_the_new_champion(played):
    _, _, record = played[0]
    promoted, rolled_back = (experiment["change"] for experiment in record["experiments"])
    assert promoted["action"] == "promote"
    assert promoted["next_answer"]["variant"] == "champion"
    assert promoted["next_answer"]["model"]["version"] == "2"
    assert rolled_back["action"] == "rollback"
    assert rolled_back["next_answer"]["model"]["version"] == "2"


def test_the_new_champion_s_word_is_explained_and_an_e_mail_is_drafted(played):
    found = played[0][2]["explained"]
    assert found["plain"].startswith("The model's probability is ")
    assert found["subject"]
    assert (found["source"], "GAUNTLET_GROQ_API_KEY" in found["why"]) == ("template", True)


def test_every_step_is_said_and_the_data_is_called_synthetic(played):
    folder, out, _ = played[0]
    for word in ("data", "train", "gate", "champion", "package", "shadow", "verdict", "promote", "explain", "rollback"):
        assert f" {word} " in out
    assert "SYNTHETIC" in out
    assert str(folder) in out.replace("\n", "")


def test_the_folder_is_served_again_and_judged(played, free_port):
    folder, _, record = played[0]
    customer = {
        "customer_id": "somebody",
        "features": json.loads((folder / "data" / "customer.json").read_text())["features"],
    }
    serving = gauntlet("serve", "--folder", folder, "--port", free_port, "--admin-port", "0")
    try:
        url = f"http://127.0.0.1:{free_port}"
        answer = _when_up(serving, lambda: ask(f"{url}/v1/score", customer))
        assert answer["model"]["version"] == "2"
        assert ask(f"{url}/v1/experiment")["mode"] == "off"
    finally:
        serving.terminate()
        _, err = serving.communicate(timeout=60)
    assert serving.returncode == 0, err
    judged = gauntlet("verdict", "--folder", folder, "--json")
    out, err = judged.communicate(timeout=120)
    assert judged.returncode == 0, err
    assert json.loads(out)["verdict"] == "KEEP_COLLECTING"
    assert record["decisions"][-1]["verdict"] == "ROLLBACK"
    assert "rolled back" in json.loads(out)["reasons"][-1]


def test_a_folder_that_no_demo_left_is_not_emptied(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    demo = gauntlet("demo", "--folder", tmp_path)
    _, err = demo.communicate(timeout=120)
    assert demo.returncode == 2
    assert str(tmp_path) in err
    assert "Traceback" not in err
    assert (tmp_path / "precious.txt").read_text() == "mine"


def _when_up(process, call):
    until = time.monotonic() + 60
    while True:
        try:
            return call()
        except (URLError, ConnectionError):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until, "the service did not come up"
            time.sleep(0.1)
