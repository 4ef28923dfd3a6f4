"""The command line as a whole: what an error becomes, in words, in an exit code and on a CI job's page."""

import json
import sys
from pathlib import Path

import click
import pytest

import gauntlet
from bentos.errors import InvalidSetting, NotFound, Refused, Unavailable
from bentos.packing import Packed
from bentos.registry import Version
from bentos.roles import PackedModel

USE_CASES = Path(gauntlet.__file__).parent / "training" / "use_cases"


@pytest.fixture
def typed(monkeypatch, capsys):
    """Runs the command line in this process; gives its exit code and what it printed."""
    for name in ("GAUNTLET_DEBUG", "GAUNTLET_FOLDER", "GITHUB_STEP_SUMMARY", "GAUNTLET_TERMINATION_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["gauntlet", *words])
        with pytest.raises(SystemExit) as ended:
            gauntlet.main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def broken(monkeypatch):
    """Lets a subcommand raise."""

    def let(command, error):
        def fail(**_):
            raise error

        monkeypatch.setattr(gauntlet.cli.commands[command], "callback", fail)

    return let


SCORE_FILE = ("score-file", "in.csv", "out.parquet")


def test_help_lists_commands_in_the_order_of_a_models_life(typed):
    code, out, _ = typed("--help")
    listed = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    life = ["train", "gate", "package", "serve", "experiment", "verdict", "promote", "rollback", "monitor"]
    assert (code, [name for name in listed if name in life]) == (0, life)


@pytest.mark.parametrize(("command", "code"), [("package", 2), ("gate", 3), ("no-such-command", 2)])
def test_a_wrong_argument_is_named(typed, command, code):
    ended, out, err = typed(command, "--polcy", "p")
    assert (ended, out) == (code, "")
    assert "--polcy" in err or "No such command 'no-such-command'" in err


@pytest.mark.parametrize(
    ("words", "error", "code"),
    [
        (("serve",), NotFound("there is no Bento"), 2),
        (("serve",), PermissionError(13, "Permission denied"), 2),
        (("gate",), Refused("no holdout"), 3),
        (SCORE_FILE, Unavailable("the registry does not answer"), 75),
        (SCORE_FILE, OSError(28, "No space left on device"), 75),
        (SCORE_FILE, InvalidSetting("--keep is wrong"), 2),
    ],
)
def test_a_foreseen_error_is_one_line_and_the_commands_own_exit_code(typed, broken, words, error, code):
    broken(words[0], error)
    assert typed(*words) == (code, "", f"gauntlet: {error}\n")


def test_an_error_stands_on_a_ci_jobs_page_and_is_a_jobs_last_word(typed, broken, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("GAUNTLET_TERMINATION_FILE", str(tmp_path / "last"))
    broken("serve", NotFound("there is no Bento"))
    typed("serve")
    assert (tmp_path / "summary.md").read_text() == "**gauntlet serve**: there is no Bento\n\n"
    assert (tmp_path / "last").read_text() == "ERROR: there is no Bento"


def test_a_page_that_cannot_be_written_hides_no_error(typed, broken, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "gone" / "summary.md"))
    broken("serve", NotFound("there is no Bento"))
    assert typed("serve") == (2, "", "gauntlet: there is no Bento\n")


@pytest.mark.parametrize(("command", "code"), [("serve", 70), ("gate", 3)])
def test_an_error_that_nobody_foresaw_says_so_and_how_to_see_where(typed, broken, command, code):
    broken(command, RuntimeError("odd"))
    said = "gauntlet: internal error: RuntimeError: odd (GAUNTLET_DEBUG=1 shows where)\n"
    assert typed(command) == (code, "", said)


def test_for_whoever_looks_for_it_an_error_that_nobody_foresaw_is_shown_whole(broken, monkeypatch):
    broken("serve", RuntimeError("odd"))
    monkeypatch.setenv("GAUNTLET_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["gauntlet", "serve"])
    with pytest.raises(RuntimeError, match="odd"):
        gauntlet.main()


@pytest.mark.parametrize(("command", "code"), [("train", 2), ("gate", 3)])
def test_a_group_of_packages_that_was_left_out_is_told_with_its_cure(typed, broken, command, code):
    broken(command, ModuleNotFoundError("No module named 'sklearn'", name="sklearn"))
    ended, out, err = typed(command)
    assert (ended, out) == (code, "")
    assert err.startswith("gauntlet: sklearn is not installed here, as its group of packages was left out")
    assert "uv run --all-groups gauntlet" in err


@pytest.mark.parametrize("name", ["validation.no_such", None])
def test_a_module_of_our_own_that_is_missing_is_no_group_that_was_left_out(broken, monkeypatch, name):
    broken("train", ModuleNotFoundError("No module named 'validation.no_such'", name=name))
    monkeypatch.setattr(sys, "argv", ["gauntlet", "train"])
    with pytest.raises(ModuleNotFoundError, match=r"validation\.no_such"):
        gauntlet.main()


def test_a_command_may_end_with_a_code_of_its_own(typed, broken):
    broken("serve", click.exceptions.Exit(5))
    assert typed("serve") == (5, "", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_who_breaks_it_off_gets_the_shells_code_and_no_words(typed, broken, error):
    broken("serve", error)
    code, out, err = typed("serve")
    assert (code, out, err.strip()) == (130, "", "")


@pytest.fixture
def packed(monkeypatch):
    """What packing was asked for; the registry and BentoML are left out."""
    asked = {}

    class Names:
        def resolve(self, uri):
            number = "1" if uri.endswith("@champion") else "2"
            name = uri.removeprefix("models:/").partition("@")[0].partition("/")[0]
            return Version(name=name, number=number, digest=f"sha256:{number}", run="r")

    def package(registry, *, champion, challengers, folder, now, trust):
        asked.update(champion=champion.uri, challengers=[one.uri for one in challengers], folder=folder.path)
        models = [PackedModel(name="churn", version=one.number, digest=one.digest) for one in (champion, *challengers)]
        return Packed(
            tag="gauntlet:1", path=folder.bento, champion=models[0], challengers=tuple(models[1:]),
            insight_tag="insight:1", insight_path=folder.insight_bento,
        )  # fmt: skip

    monkeypatch.setattr("bentos.registry.registry_of", lambda folder: Names())
    monkeypatch.setattr("bentos.packing.package", package)
    return asked


def test_package_says_who_is_in_the_bento_and_what_to_type_next(typed, packed, tmp_path):
    code, out, err = typed("package", "--challenger", "models:/churn/2", "--folder", str(tmp_path))
    assert code == 0
    assert packed == {"champion": "models:/churn/1", "challengers": ["models:/churn/2"], "folder": tmp_path}
    assert out.startswith("gauntlet:1: champion churn version 1, ")
    assert err == f"  next: gauntlet serve --folder {tmp_path}\n"


def test_package_takes_the_version_that_a_training_handed_over_and_the_champion_of_its_name(typed, packed, tmp_path):
    (tmp_path / "candidate").write_text("models:/malignancy/2\n")
    handed = ("--candidate-file", str(tmp_path / "candidate"), "--folder", str(tmp_path))
    assert typed("package", *handed)[0] == 0
    assert (packed["champion"], packed["challengers"]) == ("models:/malignancy/1", ["models:/malignancy/2"])
    assert typed("package", "--challenger", "models:/churn/2", *handed)[0] == 0
    assert (packed["champion"], packed["challengers"]) == ("models:/churn/1", ["models:/churn/2"])
    code, _, err = typed("package", "--candidate-file", str(tmp_path / "none"), "--folder", str(tmp_path))
    assert (code, "none names no candidate" in err) == (2, True)


def test_package_as_json_names_models_by_digest(typed, packed, tmp_path):
    code, out, _ = typed("package", "--json", "--folder", str(tmp_path))
    found = json.loads(out)
    assert (code, found["champion"]["digest"], found["challengers"]) == (0, "sha256:1", [])


@pytest.fixture
def demos(monkeypatch):
    """Demos that were asked for; none is played, and each ends with exit code 4."""
    asked = []

    def here(folder, **options):
        asked.append(("here", options))
        return 4

    def there(folder, where, **options):
        asked.append((where, options))
        return 4

    monkeypatch.setattr("service.demo.run.run_demo", here)
    monkeypatch.setattr("service.demo.run.run_cluster_demo", there)
    return asked


def test_the_demos_exit_code_is_the_commands(typed, demos):
    assert typed("demo", "--seed", "7", "--port", "3001")[0] == 4
    ((place, options),) = demos
    assert (place, options["seed"], options["port"], options["keep_serving"]) == ("here", 7, 3001, False)
    assert options["use_case"] == USE_CASES / "telco_churn.yaml"


def test_a_demo_on_a_cluster_is_told_where_and_how_images_come_there(typed, demos):
    words = ("--namespace", "shop", "--registry", "r.example/team", "--build-option", "a", "--build-option", "b")
    assert typed("demo", "--on-cluster", *words)[0] == 4
    ((where, options),) = demos
    assert (where.namespace, where.registry, where.loader) == ("shop", "r.example/team", None)
    assert (list(where.build_options), where.ingress) == (["a", "b"], "http://127.0.0.1")
    assert options["use_case"].is_file()
    assert options["gate_policy"].is_file()
    assert options["online_policy"].is_file()


@pytest.mark.parametrize("words", [("--port", "3001"), ("--keep-serving",)])
def test_a_demo_on_a_cluster_serves_on_by_itself(typed, demos, words):
    code, _, err = typed("demo", "--on-cluster", *words)
    assert (code, demos) == (2, [])
    assert err.startswith("gauntlet: --on-cluster goes with neither --port nor --keep-serving")
