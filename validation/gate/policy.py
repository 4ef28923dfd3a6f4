"""A gate's policy: which rules a candidate must meet, read strictly, so that no slip of the pen becomes a pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import yaml

from bentos.artifact import sha256
from bentos.errors import InvalidPolicy, NotFound, shown
from bentos.strict_yaml import load_yaml
from validation.gate.metrics import METRICS

JudgeBy = Literal["point", "interval"]
"""`point`: the number alone decides. `interval`: FAIL and PASS only where the whole interval says so."""

LEAST_DRAWS = 20
_MOST_DAYS = 3650


class Performance(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="performance"):
    """A metric must reach a bound.

    Attributes:
        metric: One of `METRICS`, named with its average.
        at_least: The bound, above 0 and at most 1.
        judge_by: Whether the number or its interval decides.
        on_inconclusive: What an interval that contains the bound leads to: `block` is INCONCLUSIVE, no blessing.
    """

    metric: str
    at_least: float
    judge_by: JudgeBy
    on_inconclusive: Literal["block"] = "block"


class AccuracyGap(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="accuracy_gap"):
    """Accuracy must be alike in the groups of protected attributes.

    Attributes:
        attributes: Names of protected attributes, or `all` of the contract's; each is a check of its own.
        at_most: Largest distance of the best group's accuracy from the worst group's, from 0, below 1.
        judge_by: Whether the number or its interval decides.
        on_inconclusive: As for `Performance`.
    """

    attributes: tuple[str, ...] | Literal["all"]
    at_most: float
    judge_by: JudgeBy
    on_inconclusive: Literal["block"] = "block"


class Noise(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="noise"):
    """Accuracy must survive Gaussian noise on every numeric feature.

    Attributes:
        deviations: Sizes of the noise in each feature's training standard deviations, above 0; each is a check.
        accuracy_drop_below: Bound of the mean loss of accuracy over the draws, above 0 and below 1.
        draws: How often noise is drawn, at least 20.
        judge_by: Whether the number or its interval decides.
        on_inconclusive: As for `Performance`.
    """

    deviations: tuple[float, ...]
    accuracy_drop_below: float
    judge_by: JudgeBy
    draws: int = LEAST_DRAWS
    on_inconclusive: Literal["block"] = "block"


class McNemar(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mcnemar"):
    """The candidate must not be significantly worse than the champion on the same rows.

    Attributes:
        alpha: Level of the two-sided mid-p, above 0 and at most 0.5.
    """

    alpha: float


Rule = Performance | AccuracyGap | Noise | McNemar

KINDS: dict[str, type[Rule]] = {
    "performance": Performance,
    "accuracy_gap": AccuracyGap,
    "noise": Noise,
    "mcnemar": McNemar,
}


ALLOWED: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    JudgeBy: " or ".join(get_args(JudgeBy)),
    Literal["block"]: "block",
    tuple[float, ...]: "a list of numbers",
    tuple[str, ...] | Literal["all"]: "a list of names, or all",
    tuple[Rule, ...]: "a list of rules",
}
"""What a key may hold, by its type, to be read after "must be"."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate must meet.

    Attributes:
        name: Short name, which tags the version.
        description: What it asks and why, for people.
        bootstrap: Whether a first model, without a champion to compare with, may pass.
        seed: Seed of everything random in the gate.
        valid_days: Days from a PASS until its blessing expires.
        rules: What must be met, every one.
    """

    name: str
    description: str
    seed: int
    valid_days: int
    rules: tuple[Rule, ...]
    bootstrap: bool = False


def load_policy(path: Path) -> tuple[Policy, str]:
    """Read a policy file.

    Returns:
        The policy, and the digest of the file's bytes by which a blessing names it.

    Raises:
        NotFound: There is no such file.
        InvalidPolicy: With everything that is wrong with it.
    """
    try:
        content = path.read_bytes()
    except OSError as e:
        raise NotFound(f"the policy {path} cannot be read ({e.strerror}); give --policy a YAML file") from e
    return parse_policy(content, str(path)), sha256(content)


def parse_policy(content: bytes, source: str) -> Policy:
    """Read a policy and check that it can be judged by.

    Args:
        content: YAML.
        source: The file's name, for messages.

    Raises:
        InvalidPolicy: With everything that is wrong, each thing named together with what is allowed.
    """
    try:
        # A SafeLoader that does one thing more: it refuses a key that is written twice.
        found = load_yaml(content)
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise InvalidPolicy(f"{source} is no YAML: {' '.join(str(e).split())}") from e
    problems = list(_file_problems(found))
    if problems:
        raise InvalidPolicy(f"{source}: {'; '.join(problems)}")
    policy = msgspec.convert(found, Policy)
    problems = list(_problems(policy))
    if problems:
        raise InvalidPolicy(f"{source}: {'; '.join(problems)}")
    return policy


def _file_problems(found: object) -> Iterator[str]:
    """What keeps the file from being read as a policy: keys, types, and the bounds of its rules."""
    if not isinstance(found, dict):
        yield f"a policy is a mapping with the keys {', '.join(Policy.__struct_fields__)}"
        return
    yield from _struct_problems({**found, "rules": []} if "rules" in found else found, Policy, "the policy")
    rules = found.get("rules", [])
    if "rules" in found and (not isinstance(rules, list) or not rules):
        yield f"rules is {shown(rules)}; it must be a list of at least one rule, or it never fails"
        return
    for position, rule in enumerate(rules):
        yield from _rule_problems(rule, f"rules[{position}]")


def _rule_problems(rule: object, place: str) -> Iterator[str]:
    kind = rule.get("kind") if isinstance(rule, dict) else None
    if not isinstance(rule, dict) or not isinstance(kind, str) or kind not in KINDS:
        what = f"{place} must be a mapping" if not isinstance(rule, dict) else f"{place}.kind is {shown(kind)}"
        yield f"{what}; kind must be one of {', '.join(KINDS)}"
        return
    problems = list(_struct_problems(rule, KINDS[kind], f"{place} ({kind})", known="kind"))
    if not problems:
        problems = [f"{place} ({kind}): {problem}" for problem in _bound_problems(msgspec.convert(rule, Rule))]
    yield from problems


def _struct_problems(found: dict[Any, Any], form: type[msgspec.Struct], place: str, known: str = "") -> Iterator[str]:
    fields = {field.name: field for field in msgspec.structs.fields(form)}
    for key in found:
        if key not in fields and key != known:
            yield f"{place} has the unknown key {key!r}; allowed are {', '.join(fields)}"
    for name, field in fields.items():
        if name not in found:
            if field.required:
                yield f"{place} lacks the key {name!r}"
            continue
        try:
            msgspec.convert(found[name], field.type)
        except msgspec.ValidationError:
            yield f"{place}: {name} is {shown(found[name])}; it must be {ALLOWED[field.type]}"


def _problems(policy: Policy) -> Iterator[str]:
    """What keeps a policy of well-formed rules from being judged by."""
    if not policy.name.strip():
        yield "name is empty"
    if policy.seed < 0:
        yield f"seed is {policy.seed}; it must be at least 0"
    if not 1 <= policy.valid_days <= _MOST_DAYS:
        yield f"valid_days is {policy.valid_days}; it must be from 1 to {_MOST_DAYS}"
    names = [name for rule in policy.rules for name in _names(rule)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is asked for twice; give one rule for it"
    gaps = [rule.attributes for rule in policy.rules if isinstance(rule, AccuracyGap)]
    if "all" in gaps and len(gaps) > 1:
        yield "accuracy_gap of all protected attributes stands beside another accuracy_gap; give one rule for each"
    if policy.bootstrap and all(isinstance(rule, McNemar) for rule in policy.rules):
        yield "bootstrap is true, and no rule judges a first model; add one that needs no champion"


def _bound_problems(rule: Rule) -> Iterator[str]:
    """What keeps a well-formed rule from being judged by, above all that it could never fail."""
    match rule:
        case Performance():
            if rule.metric not in METRICS:
                yield f"metric is {shown(rule.metric)}; it must be one of {', '.join(METRICS)}"
            if not 0 < rule.at_least <= 1:
                yield f"at_least is {rule.at_least:g}; it must be above 0, or it never fails, and at most 1"
        case AccuracyGap():
            if not rule.attributes:
                yield "attributes is empty, so it never fails; name protected attributes, or write all"
            if not 0 <= rule.at_most < 1:
                yield f"at_most is {rule.at_most:g}; it must be at least 0 and below 1, or it never fails"
        case Noise():
            yield from _noise_problems(rule)
        case McNemar():
            if not 0 < rule.alpha <= 0.5:
                yield f"alpha is {rule.alpha:g}; it must be above 0, or it never fails, and at most 0.5"


def _noise_problems(rule: Noise) -> Iterator[str]:
    if not rule.deviations:
        yield "deviations is empty, so it never fails; name at least one"
    for deviation in rule.deviations:
        if not 0 < deviation <= 10:
            yield f"deviations holds {deviation:g}; each must be above 0, or it never fails, and at most 10"
    if not 0 < rule.accuracy_drop_below < 1:
        yield f"accuracy_drop_below is {rule.accuracy_drop_below:g}; it must be above 0 and below 1, or it never fails"
    if not LEAST_DRAWS <= rule.draws <= 1000:
        yield f"draws is {rule.draws}; it must be from {LEAST_DRAWS} to 1000"


def _names(rule: Rule) -> list[str]:
    """What a rule asks for, as far as it can be asked for only once."""
    match rule:
        case Performance():
            return [rule.metric]
        case AccuracyGap():
            return [f"accuracy_gap of {name}" for name in rule.attributes if rule.attributes != "all"]
        case Noise():
            return [f"noise of {deviation:g} deviations" for deviation in rule.deviations]
        case McNemar():
            return ["mcnemar"]
