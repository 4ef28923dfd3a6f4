"""The same customer gets the same variant from every replica, before and after all of them were replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from acts import both_ready
from cluster_tools import Step
from installing import LEAD, Installation, features_of

from service.scoring.experiment import set_split, start_shadow, stop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CUSTOMERS = 10_000
BATCH = 500
SHARE = 0.3


def variants(installation: Installation, url: str) -> dict[str, str]:
    """Which variant answers each customer."""
    features = features_of(installation.contract)
    customers = [f"sticky-{i}" for i in range(CUSTOMERS)]

    async def ask(session: aiohttp.ClientSession, some: list[str]) -> list[str]:
        rows = [{"customer_id": customer, "features": features} for customer in some]
        async with session.post(f"{url}/v1/score/batch", json={"rows": rows}) as response:
            said = await response.json()
            assert response.status == 200, said
            return [row["variant"] for row in said["predictions"]]

    async def ask_all() -> list[str]:
        headers = {"authorization": f"Bearer {installation.key}"}
        async with aiohttp.ClientSession(headers=headers, trust_env=False) as session:
            batches = [customers[start : start + BATCH] for start in range(0, CUSTOMERS, BATCH)]
            return [variant for batch in batches for variant in await ask(session, batch)]

    return dict(zip(customers, asyncio.run(ask_all()), strict=True))


def test_ten_thousand_customers_keep_their_variant_across_replicas_and_restarts(
    installation: Installation, step: Step, note: Callable[[str], None]
) -> None:
    now = datetime.now(UTC)
    off = stop(installation.experiment(), now=now, lead=timedelta(0))
    challenger = installation.roles.challengers[0].digest
    shadow = start_shadow(off, challenger, now=now, salt="sticky", lead=timedelta(0))
    with step("split seen by both replicas"):
        installation.change(set_split(shadow, SHARE, now=now, lead=LEAD))
    first, second = (variants(installation, url) for url in installation.replicas())
    assert first == second
    with step("both replicas replaced"):
        installation.kube("rollout", "restart", "deployment/gauntlet")
        both_ready(installation)
    with step("the wider split seen by both replicas"):
        for url in installation.replicas():
            assert variants(installation, url) == first
        installation.change(set_split(installation.experiment(), 2 * SHARE, now=datetime.now(UTC), lead=LEAD))
    wider = variants(installation, installation.replicas()[0])
    share = sum(variant == "challenger" for variant in first.values()) / CUSTOMERS
    assert abs(share - SHARE) < 0.02
    moved = {customer for customer in first if first[customer] != wider[customer]}
    assert {first[customer] for customer in moved} == {"champion"}, "a wider split moves customers one way only"
    note(
        f"sticky: {CUSTOMERS:,} customers the same on both replicas, before and after both were replaced; {share:.2%} "
        f"with the challenger at a split of {SHARE:.0%}; at {2 * SHARE:.0%} {len(moved):,} moved, all to it"
    )
    installation.change(stop(installation.experiment(), now=datetime.now(UTC), lead=timedelta(0)))
