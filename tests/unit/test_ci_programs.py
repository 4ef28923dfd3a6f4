"""The programs of CI, in a copy of the checkout whose `gauntlet`, `gh` and `cosign` note what they are asked."""

import json
from pathlib import Path

import pytest
from ci_toys import SAID, lay_out, put, run, said

REPORT = (
    "a library warns\n## churn version 3 {how}\n\n| looked at | came out |\n|---|---|\n| {what} | **look at it** |\n"
)

GH = f"""{SAID}
if [ "$1 $2" = "issue list" ]; then echo "${{ISSUE:-}}"; fi
"""
MONITOR = f"""{SAID}
cat "$REPORT"
exit "$CODE"
"""
IMAGE = f"""{SAID}
echo '{{"digest": "sha256:0123"}}'
"""


@pytest.fixture
def checkout(tmp_path):
    """`.ci` and what its programs look for."""
    (tmp_path / "k8s" / "overlays" / "staging" / "release").mkdir(parents=True)
    return lay_out(tmp_path)


def monitor(checkout, *, code, how="needs somebody", what="drift", **environment):
    put(checkout / ".ci" / "gauntlet", MONITOR)
    put(checkout / "bin" / "gh", GH)
    (checkout / "report").write_text(REPORT.format(how=how, what=what))
    given = {"REPORT": str(checkout / "report"), "CODE": str(code), **environment}
    done = run(checkout, "bash", ".ci/monitor", **given)
    return done, [line for line in said(checkout) if line.startswith("gh ") and "issue list" not in line]


def test_what_needs_somebody_opens_an_issue(checkout):
    done, asked = monitor(checkout, code=1)
    assert done.returncode == 0, done.stderr
    assert asked[1] == (
        "gh issue create --label monitor --title churn version 3 needs somebody --body-file reports/monitor.md"
    )
    assert (checkout / "reports" / "monitor.md").read_text().startswith("## churn version 3 needs somebody\n")


def test_an_open_issue_is_brought_up_to_date_and_no_second_one_opened(checkout):
    _, asked = monitor(checkout, code=1, ISSUE="7")
    assert asked == ["gh issue edit 7 --title churn version 3 needs somebody --body-file reports/monitor.md"]


def test_when_all_is_well_an_open_issue_is_told_and_left_to_a_person(checkout):
    _, asked = monitor(checkout, code=0, how="is well", ISSUE="7")
    assert [line.split()[2] for line in asked] == ["edit", "comment"]


def test_when_all_is_well_no_issue_is_opened(checkout):
    assert monitor(checkout, code=0, how="is well")[1] == []


@pytest.mark.parametrize(("what", "starts"), [("drift", True), ("blessing", False)])
def test_drift_alone_starts_a_training(checkout, what, starts):
    _, asked = monitor(checkout, code=1, what=what, ISSUE="7", GAUNTLET_RETRAIN="yes")
    assert ("gh workflow run pipeline.yml" in asked) == starts


def test_a_look_that_failed_fails_the_stage_and_touches_no_issue(checkout):
    done, asked = monitor(checkout, code=2)
    assert (done.returncode, asked) == (2, [])


def test_a_look_that_said_nothing_fails_the_stage(checkout):
    put(checkout / ".ci" / "gauntlet", "#!/usr/bin/env bash\necho nothing\n")
    done = run(checkout, "bash", ".ci/monitor")
    assert (done.returncode, "nothing" in done.stderr) == (2, True)


def test_without_issues_the_report_is_the_jobs_summary(checkout):
    done, asked = monitor(checkout, code=1, GAUNTLET_ISSUE="no", GITHUB_STEP_SUMMARY=str(checkout / "summary"))
    assert (done.returncode, asked) == (0, [])
    assert (checkout / "summary").read_text().startswith("## churn version 3")


def test_a_secret_s_text_is_a_file_of_one_s_own_while_the_command_runs_and_gone_afterwards(checkout):
    put(
        checkout / ".uv" / "bin" / "uv",
        '#!/usr/bin/env bash\necho "$*"\nstat -c %a "$KUBECONFIG"\ncat "$KUBECONFIG"\necho "$KUBECONFIG" >&2\n'
        'echo "text ${KUBECONFIG_TEXT:-none}"\nexit 3\n',
    )
    done = run(checkout, "bash", ".ci/gauntlet", "gate", "--html", "a b", KUBECONFIG_TEXT="clusters: []")
    assert done.returncode == 3
    assert done.stdout.splitlines() == [
        "run --frozen --all-groups gauntlet gate --html a b", "600", "clusters: []", "text none",
    ]  # fmt: skip
    assert not Path(done.stderr.strip()).exists()


def test_images_are_pushed_into_the_release_signed_when_asked_and_told_by_digest(checkout):
    put(checkout / ".ci" / "gauntlet", IMAGE)
    put(checkout / "bin" / "cosign", SAID)
    given = {"GAUNTLET_REGISTRY": "here/Shop", "GAUNTLET_IMAGE_TAG": "1", "GITHUB_OUTPUT": str(checkout / "output")}
    done = run(checkout, "bash", ".ci/images", "staging", GAUNTLET_SIGN="yes", **given)
    assert done.returncode == 0, done.stderr
    asked = said(checkout)
    assert [line for line in asked if line.startswith("cosign")] == [
        f"cosign sign --yes here/shop/gauntlet-{kind}@sha256:0123" for kind in ("jobs", "scoring", "insight")
    ]
    assert "--tag here/shop/gauntlet-scoring:1 --push --release k8s/overlays/staging/release" in asked[2]
    told = "registry=here/shop\njobs=sha256:0123\nscoring=sha256:0123\ninsight=sha256:0123\n"
    assert (checkout / "output").read_text() == told
    assert json.loads((checkout / "reports" / "images" / "jobs.json").read_text()) == {"digest": "sha256:0123"}
    assert not any("--engine" in line for line in asked)
    plain = run(checkout, "bash", ".ci/images", "staging", GAUNTLET_IMAGE_ENGINE="buildah", **given)
    assert "not signed, as nobody asked for it" in plain.stdout
    assert ["--json --engine buildah --" in line for line in said(checkout)[len(asked) :]] == [True, True, True]


@pytest.mark.parametrize(
    ("words", "missing", "told"),
    [
        (["nowhere"], {}, "usage"),
        (["staging"], {}, "GAUNTLET_REGISTRY"),
        (["staging"], {"GAUNTLET_REGISTRY": "h"}, "TAG"),
    ],
)
def test_images_say_what_they_lack(checkout, words, missing, told):
    done = run(checkout, "bash", ".ci/images", *words, **missing)
    assert done.returncode == 2
    assert told in done.stderr
    assert said(checkout) == []


CHANGELOG = """# Changelog

## Unreleased

- later

## [0.2.0] - 2026-12-01

### Added

- a thing

## 0.1.0

- the first
"""


@pytest.mark.parametrize(("tag", "notes"), [("v0.2.0", "\n### Added\n\n- a thing\n\n"), ("v0.1.0", "\n- the first\n")])
def test_the_notes_of_a_release_are_its_section_of_the_changelog(checkout, tag, notes):
    put(checkout / "bin" / "gh", SAID)
    put(checkout / ".github" / "CHANGELOG.md", CHANGELOG)
    done = run(checkout, "bash", ".ci/release", "notes", GITHUB_REF_NAME=tag)
    assert done.returncode == 0, done.stderr
    assert (checkout / "reports" / "notes.md").read_text() == notes
    assert said(checkout) == [f"gh release create {tag} --verify-tag --title {tag} --notes-file reports/notes.md"]


@pytest.mark.parametrize(
    ("words", "tag", "code", "told"),
    [
        (["notes"], "v0.3.0", 1, "no section 0.3.0"),
        (["notes"], "main", 2, "must be like v0.2.0"),
        (["notes"], "", 2, "GITHUB_REF_NAME"),
        (["image"], "v0.2.0", 2, "GAUNTLET_REGISTRY"),
        ([], "v0.2.0", 2, "usage"),
    ],
)
def test_a_release_says_what_it_lacks(checkout, words, tag, code, told):
    put(checkout / "bin" / "gh", SAID)
    put(checkout / ".github" / "CHANGELOG.md", CHANGELOG)
    done = run(checkout, "bash", ".ci/release", *words, GITHUB_REF_NAME=tag)
    assert done.returncode == code
    assert told in done.stderr
    assert said(checkout) == []


CLUSTER = f"""{SAID}
exit "${{UP:-0}}"
"""
UV = f"""{SAID}
echo "by $GAUNTLET_CLUSTER" >> "$SAID"
case "$*" in *pytest*) exit "${{TESTS:-0}}" ;; esac
"""


def cluster_tests(checkout, *words, **environment):
    for place in (".ci/kind", ".ci/servers", "elsewhere/cluster"):
        put(checkout / place, CLUSTER)
    put(checkout / ".uv" / "bin" / "uv", UV)
    done = run(checkout, "bash", ".ci/cluster", *words, **environment)
    return done, said(checkout)


def test_the_cluster_tests_are_run_on_kind_and_summed_up(checkout):
    done, asked = cluster_tests(checkout)
    assert done.returncode == 0, done.stdout
    uv = "uv run --frozen --all-groups"
    assert asked == [
        "servers --registry",
        "kind up",
        "kind base-images",
        f"{uv} pytest -m cluster --junit-xml=reports/cluster/cluster.xml",
        "by .ci/kind",
        f"{uv} python .ci/summary.py reports/cluster cluster",
        "by .ci/kind",
    ]


def test_the_cluster_tests_take_the_cluster_that_is_named(checkout):
    _, asked = cluster_tests(checkout, GAUNTLET_CLUSTER="elsewhere/cluster")
    assert [line for line in asked if "kind" in line] == []
    assert "cluster up" in asked
    assert "by elsewhere/cluster" in asked


@pytest.mark.parametrize(("what", "told"), [("UP", "test cluster"), ("TESTS", "cluster tier")])
def test_what_failed_of_the_cluster_tests_is_named_and_they_are_summed_up_all_the_same(checkout, what, told):
    done, asked = cluster_tests(checkout, **{what: "1"})
    assert done.returncode == 1
    assert f"::: failed: {told}\n" in done.stdout
    assert any("summary.py" in line for line in asked)


@pytest.mark.parametrize("program", ["quality", "monitor", "servers", "tests", "run"])
def test_a_program_refuses_what_it_does_not_know(checkout, program):
    done = run(checkout, "bash", f".ci/{program}", "--nope")
    assert (done.returncode, said(checkout)) == (2, [])
    assert f"usage: bash .ci/{program}" in done.stderr


def test_the_cluster_tests_take_no_arguments(checkout):
    done, asked = cluster_tests(checkout, "--now")
    assert (done.returncode, asked) == (2, [])
    assert "usage" in done.stderr


STEPS = """
set -euo pipefail
. .ci/steps.sh
beside "slow" 20 "${standing_back[@]}" 20 bash -c 'nice; exit 4'
step "quick" 20 echo quick
join
beside "late" 1 sleep 60
join
beside "good" 20 echo good
join
finish
"""


def test_a_step_beside_others_is_shown_and_counted_when_it_is_joined(checkout):
    done = run(checkout, "bash", "-c", STEPS)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines.index("quick") < lines.index("19") < lines.index("good"), "what stood back had the least priority"
    assert [line for line in lines if line.startswith("::: failed")] == ["::: failed: slow", "::: failed: late"]
    assert any(line.startswith("::: good: passed") for line in lines)
