"""What the demo says: a line or two a step on the terminal, and every number once more for `--json`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from bentos.artifact import write_beside
from bentos.packing import Packed
from service.demo.preparing import Prepared
from service.demo.traffic import Answer, Answered, Drafted
from training.train import Trained
from validation.gate.report import GateReport
from validation.judge.audit import Change
from validation.judge.evidence import Evidence
from validation.judge.lineage import Lineage
from validation.judge.policy import OnlinePolicy
from validation.judge.terminal import deciding_log_e
from validation.judge.verdict import Verdict

_INDENT = 13
_REASONS = 3
"""How many of a gate's reasons are said; the report has them all."""
_STYLES = {
    "PASS": "bold green",
    "PROMOTE": "bold green",
    "FAIL": "bold red",
    "ROLLBACK": "bold red",
    "KEEP_COLLECTING": "yellow",
}
_KEPT_METRICS = ("accuracy", "roc_auc", "f1_positive", "brier")


class Narrator:
    """Says each step, and keeps every number that was said.

    Attributes:
        record: What `--json` writes.
    """

    def __init__(self, console: Console, *, folder: Path, seed: int) -> None:
        self._console, self._began, self._step = console, time.monotonic(), 0
        self._status = console.status("", spinner="dots")
        self._looks: list[dict[str, Any]] = []
        self.record: dict[str, Any] = {
            "folder": str(folder),
            "seed": seed,
            "models": [],
            "gates": [],
            "bentos": [],
            "experiments": [],
            "decisions": [],
        }

    def progress(self, text: str) -> None:
        """Show what is being worked on, where the output is a terminal; the next step replaces it."""
        self._status.update(f"[dim]{escape(text)}[/dim]")
        self._status.start()

    def step(self, name: str, text: str, *more: str) -> None:
        """One numbered step; further lines stand below it."""
        self._status.stop()
        self._step += 1
        self._indented(f"[bold]{self._step:>2} {name}[/bold]", text)
        for line in more:
            self._indented("", line)

    def remark(self, text: str) -> None:
        """A line between the lines of the table of evidence."""
        self._indented("", f"[bold]→[/bold] {text}")

    def quiet(self) -> None:
        """Show nothing as being worked on."""
        self._status.stop()

    def opening(self, *, policy: str, gate_policy: str, replaces_another: bool) -> None:
        """What this is, and by which rules."""
        self.record["policies"] = {"gate": gate_policy, "online": policy}
        self._console.print(
            "[bold]Gauntlet[/bold]: every model runs the gauntlet before it serves. "
            f"Folder {escape(self.record['folder'])}{', emptied of an earlier demo' if replaces_another else ''}, "
            f"seed {self.record['seed']}.",
            highlight=False,
            soft_wrap=True,
        )

    def data(self, prepared: Prepared) -> None:
        """Where the customers come from."""
        rows, live = len(prepared.history.frame), len(prepared.live)
        self.record["data"] = {
            "source": prepared.source,
            "is_synthetic": prepared.is_synthetic,
            "digest": prepared.history.digest,
            "history": rows,
            "live": live,
            "positive_share": prepared.positive_share,
        }
        kind = "SYNTHETIC, nobody among them exists; " if prepared.is_synthetic else ""
        self.step(
            "data",
            f"{rows + live:,} customers, {prepared.positive_share:.1%} positive; {kind}{escape(prepared.source)}",
            f"{live:,} are kept back and come as live traffic; {rows:,} are history: a fifth of all customers, by a "
            "stable hash of the id, is held out for the gate, and the others are trained on",
        )

    def training(self, trained: Trained, *, note: str = "") -> Trained:
        """What came out of training."""
        metrics = {name: trained.metrics[name] for name in _KEPT_METRICS if name in trained.metrics}
        self.record["models"].append(
            {
                "model": str(trained.version),
                "digest": trained.digest,
                "estimator": trained.estimator,
                "rows": trained.rows,
                "holdout_rows": trained.holdout_rows,
                "parity": trained.parity,
                "seconds": trained.seconds,
                **metrics,
            }
        )
        name = trained.estimator.rpartition(".")[2]
        self.step(
            "train",
            f"{trained.version}: {name}{', ' + note if note else ''}",
            f"{trained.folds}-fold accuracy {metrics['accuracy']:.3f}, ROC-AUC {metrics['roc_auc']:.3f} on "
            f"{trained.rows:,} rows; ONNX within {trained.parity:.0e} of scikit-learn; {trained.seconds:.1f} s",
        )
        return trained

    def gate(self, report: GateReport) -> GateReport:
        """What the gate said, with its reasons."""
        self.record["gates"].append(
            {
                "candidate": str(report.candidate),
                "against": str(report.champion) if report.champion else None,
                "verdict": report.verdict,
                "reasons": list(report.reasons),
                "n": report.judged_on.n,
                "checks": {check.name: check.value for check in report.checks},
                "seconds": report.seconds,
            }
        )
        against = f"against {report.champion}" if report.champion else "no champion yet"
        more = [escape(reason) for reason in report.reasons[:_REASONS]]
        if report.verdict == "PASS":
            more = [_why_passed(report)]
        elif len(report.reasons) > _REASONS:
            more.append(f"and {len(report.reasons) - _REASONS} more in {escape(str(report.report_path))}")
        self.step(
            "gate",
            f"{_styled(report.verdict)} for {report.candidate} on {report.judged_on.n:,} held-out rows, {against}",
            *more,
        )
        return report

    def packed(self, packed: Packed) -> None:
        """What the Bento carries."""
        models = [f"{model.name} version {model.version}" for model in (packed.champion, *packed.challengers)]
        self.record["bentos"].append({"tag": packed.tag, "models": models})
        self.step("package", f"Bento {packed.tag} carries {' and '.join(models)}, both blessed")

    def evidence_begins(self, name: str, *, url: str, policy: OnlinePolicy) -> None:
        """The head of the table in which evidence grows."""
        self._looks = []
        self.record["experiments"].append({"name": name, "url": url, "looks": self._looks})
        self.step(
            "shadow",
            f"{url}: both models score every customer, the champion answers",
            f"outcomes are observed {timedelta(microseconds=policy.maturity_window).days} days later, and judged as of "
            "then: no clock is turned",
            f"policy {policy.name}, for a demonstration: cohorts of {policy.cohort / 1e6:g} s, {policy.min_cohorts} is "
            f"enough; a promotion needs {policy.min_matured:,} matured customers",
        )

    def look(self, sent: Answered, verdict: Verdict) -> Verdict:
        """One look at the evidence: a line of the table."""
        self._status.stop()
        found = verdict.evidence
        answered = sent.by_variant
        look = {
            "mode": verdict.mode,
            "split": verdict.split,
            "asked": len(sent.customers),
            "answered_by_challenger": answered["challenger"],
            "verdict": verdict.verdict,
            "reasons": list(verdict.reasons),
            "evidence": _clockless(found),
        }
        self._looks.append(look)
        if found is not None and len(self._looks) == 1:
            self._table_begins(found, verdict.lineage)
        if found is None:
            self._line(("", "", "", "", "", "", _styled(verdict.verdict)))
            return verdict
        self._line(
            (
                f"{found.matured:,}",
                f"{found.wins}/{found.ties}/{found.losses}",
                f"{found.difference or 0:+.3f}",
                f"{found.lower:+.3f} {found.upper:+.3f}",
                f"{found.log_e:.2f}",
                f"{found.rollback_log_e:.2f}",
                _styled(verdict.verdict),
            )
        )
        return verdict

    def _table_begins(self, found: Evidence, lineage: Lineage | None) -> None:
        """What both logs must reach, which for the claim depends on the trials before."""
        of_trial = "" if lineage is None else f" (trial {lineage.number})"
        self._indented(
            "",
            f"log e for the claim must reach {found.threshold:.2f}{of_trial}, that of harm "
            f"{found.rollback_threshold:.2f}, however often one looks:",
        )
        self._line(("matured", "won/tied/lost", "differ", "between", "log e", "harm", "verdict"))

    def decided(self, name: str, verdict: Verdict) -> None:
        """The last verdict of an experiment, with its reasons."""
        found = verdict.evidence
        self.record["decisions"].append(
            {
                "experiment": name,
                "verdict": verdict.verdict,
                "matured": found.matured if found else 0,
                "log_e": deciding_log_e(verdict),
                "reasons": list(verdict.reasons),
            }
        )
        self.step("verdict", f"{_styled(verdict.verdict)}", *(escape(reason) for reason in verdict.reasons))

    def changed(self, change: Change, answer: Answer, *, text: str) -> None:
        """Roles were changed; the next customer shows it."""
        self.record["experiments"][-1]["change"] = {
            "action": change.action,
            "revision": change.revision_after,
            "audit_row": change.number,
            "aliases": change.aliases,
            "next_answer": {"variant": answer.variant, "model": answer.model, "probability": answer.probability},
        }
        model = f"{answer.model['name']} version {answer.model['version']}"
        self.step(
            change.action,
            text,
            f"the next customer is answered by {model} as {answer.variant}: {answer.label} at "
            f"{answer.probability:.3f}, risk {answer.risk}; audit row {change.number}, aliases {change.aliases}",
        )

    def explained(self, answer: Answer, drafted: Drafted | str) -> None:
        """Why a customer is scored as they are, and what could be written to them; or why that is not said here."""
        if isinstance(drafted, str):
            self.record["explained"] = {"reason": drafted}
            self.step("explain", f"nobody explains here: {escape(drafted)}")
            return
        self.record["explained"] = {"prediction_id": answer.prediction_id, **asdict(drafted)}
        offers = f", which offers {escape(', '.join(drafted.offers))}" if drafted.offers else ""
        self.step(
            "explain",
            f"the riskiest of those who came first: {escape(drafted.plain)}",
            f'an e-mail could be sent, "{escape(drafted.subject)}"{offers}; a draft by {drafted.source} '
            f"({escape(drafted.why)}), and nobody sends it",
        )

    def close(self, commands: Sequence[tuple[str, str]], *, kept: Sequence[Path]) -> None:
        """How long it took, where everything lies, what to try next; writes the record."""
        self._status.stop()
        seconds = time.monotonic() - self._began
        self.record["seconds"] = round(seconds, 1)
        where = f"[bold]{escape(self.record['folder'])}[/bold]"
        done = f"\nDone in {timedelta(seconds=round(seconds))}. Everything is in {where}. Try next:"
        self._console.print(done, highlight=False, soft_wrap=True)
        for command, purpose in commands:
            self._console.print(f"  [dim]# {escape(purpose)}[/dim]", highlight=False, soft_wrap=True)
            self._console.print(f"  [cyan]{escape(command)}[/cyan]", highlight=False, soft_wrap=True)
        content = json.dumps(self.record, indent=2).encode() + b"\n"
        for path in kept:
            write_beside(path, content)

    def _indented(self, head: str, text: str) -> None:
        """A line whose continuation stands below its beginning."""
        self._status.stop()
        before = Text.from_markup(head)
        before.pad_right(_INDENT - len(before))
        for line in Text.from_markup(text).wrap(self._console, self._console.width - _INDENT):
            line.rstrip()
            self._console.print(before + line, highlight=False, soft_wrap=True)
            before = Text(" " * _INDENT)

    def _line(self, cells: tuple[str, ...]) -> None:
        widths = (7, 13, 6, 13, 6, 6)  # with the longest verdict 80 columns
        text = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))
        self._console.print(f"  {text}  {cells[-1]}", highlight=False, soft_wrap=True)


def _clockless(evidence: Evidence | None) -> dict[str, Any] | None:
    """The evidence without what depends on the second in which a customer came: cohorts, their spread and extremes."""
    if evidence is None:
        return None
    kept: dict[str, Any] = msgspec.to_builtins(evidence)
    return {
        name: value for name, value in kept.items() if name not in ("cohorts", "spread") and not name.endswith("_max")
    }


def _why_passed(report: GateReport) -> str:
    values = {check.name: check.value for check in report.checks if check.value is not None}
    passed = sum(check.status == "PASS" for check in report.checks)
    gaps = [value for name, value in values.items() if name.startswith("accuracy_gap")]
    said = f"{passed} checks hold: accuracy {values['accuracy']:.3f}, ROC-AUC {values['roc_auc']:.3f}"
    said += f", largest accuracy gap between groups {max(gaps):.3f}" if gaps else ""
    pairs = next((check.details for check in report.checks if check.name == "mcnemar" and check.details), None)
    if pairs is None:
        return said
    return (
        f"{said}; it alone is right on {pairs['b']:.0f} rows, the champion alone on {pairs['c']:.0f} "
        f"(McNemar mid-p {pairs['p']:.1e})"
    )


def _styled(verdict: str) -> str:
    return f"[{_STYLES.get(verdict, 'bold magenta')}]{verdict}[/]"
