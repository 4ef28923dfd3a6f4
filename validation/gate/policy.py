"""A gate's policy: which rules a candidate must meet, read strictly, so that no slip of the pen becomes a pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import yaml

from bentos.artifact import Contract, sha256
from bentos.errors import InvalidPolicy, NotFound, shown
from bentos.strict_yaml import load_yaml, read_file
from validation.gate.checks.kinds import KINDS
from validation.gate.checks.rule import Rule, Text, WholeNumber, YesOrNo

_LONGEST_NAME = 100
_MOST_DAYS = 3650


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

    name: Text
    description: Text
    seed: WholeNumber
    valid_days: WholeNumber
    rules: tuple[Rule, ...]
    bootstrap: YesOrNo = False


def load_policy(path: Path) -> tuple[Policy, str]:
    """Read a policy file.

    Returns:
        The policy, and the digest of the file's bytes by which a blessing names it.

    Raises:
        NotFound: There is no such file.
        InvalidPolicy: With everything that is wrong with it.
    """
    try:
        content = read_file(path)
    except OSError as e:
        raise NotFound(f"the policy {path} cannot be read ({e.strerror}); give --policy a YAML file") from e
    except yaml.YAMLError as e:
        raise InvalidPolicy(f"the policy {path}: {e}") from e
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
    if problems or not isinstance(found, dict):
        raise InvalidPolicy(f"{source}: {'; '.join(problems)}")
    rules = tuple(_rule_of(rule) for rule in found["rules"])
    policy = Policy(**{**found, "rules": rules})
    problems = list(_problems(policy))
    if problems:
        raise InvalidPolicy(f"{source}: {'; '.join(problems)}")
    return policy


def check_names(policy: Policy, contract: Contract, source: str) -> None:
    """Whether every feature and attribute that a policy names is the contract's: found before anything is judged.

    Raises:
        InvalidPolicy: One is not; the message says which there are.
    """
    there = {"feature": tuple(feature.name for feature in contract.features), "protected attribute": contract.protected}
    has = {what: f"the contract {contract.name} has {', '.join(names) or 'none'}" for what, names in there.items()}
    problems = [
        f"{rule.kind} names the {what} {shown(name)}; {has[what]}"
        for rule in policy.rules
        for what, names in (("feature", rule.features), ("protected attribute", rule.protected))
        for name in names
        if name not in there[what]
    ]
    if problems:
        raise InvalidPolicy(f"{source}: {'; '.join(problems)}")


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
        problems = [f"{place} ({kind}): {problem}" for problem in _rule_of(rule).problems()]
    yield from problems


def _struct_problems(found: dict[Any, Any], form: type[msgspec.Struct], place: str, known: str = "") -> Iterator[str]:
    fields = {field.name: field for field in msgspec.structs.fields(form)}
    for key in found:
        if key not in fields and key != known:
            yield f"{place} has the unknown key {key!r}; allowed are {', '.join(fields)}"
    for name, field in fields.items():
        if name not in found:
            if field.required:
                yield f"{place} lacks the key {name!r}, {allowed_in(field)}"
            continue
        try:
            msgspec.convert(found[name], field.type)
        except msgspec.ValidationError:
            yield f"{place}: {name} is {shown(found[name])}; it must be {allowed_in(field)}"


def _rule_of(rule: dict[str, Any]) -> Rule:
    return msgspec.convert(rule, KINDS[rule["kind"]])


def allowed_in(field: msgspec.structs.FieldInfo) -> str:
    """What a key of a policy may hold, to be read after "must be"."""
    for part in get_args(field.type):
        if isinstance(part, msgspec.Meta) and part.description:
            return part.description
    return "a list of rules"


def _problems(policy: Policy) -> Iterator[str]:
    """What keeps a policy of well-formed rules from being judged by."""
    if not policy.name.strip() or len(policy.name) > _LONGEST_NAME or not policy.name.isprintable():
        yield f"name is {shown(policy.name)}; it must be 1 to {_LONGEST_NAME} letters that can be printed"
    if not 0 <= policy.seed < 2**63:
        yield f"seed is {shown(policy.seed)}; it must be at least 0 and below 2^63"
    if not 1 <= policy.valid_days <= _MOST_DAYS:
        yield f"valid_days is {policy.valid_days}; it must be from 1 to {_MOST_DAYS}"
    names = [name for rule in policy.rules for name in rule.asks_for()]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is asked for twice; give one rule for it"
    for kind in KINDS:
        if f"{kind} of all" in names and sum(name.startswith(f"{kind} of ") for name in names) > 1:
            yield f"{kind} of all protected attributes stands beside another {kind}; give one rule for each"
    if policy.bootstrap and all(rule.is_relative for rule in policy.rules):
        yield "bootstrap is true, and no rule judges a first model; add one that needs no champion"
