"""Who looks at the console, what they may do, and what they may see of a customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.http.keys import Client

Role = Literal["operator", "read_only"]

LOCAL = "this machine"
_SHOWN = 4


@dataclass(frozen=True)
class Viewer:
    """A person in front of a page.

    Attributes:
        name: As the key file or the proxy calls them.
        role: An operator sees customers and acts; who may only read sees neither ids nor one customer's features.
        has_session: Whether they logged in here, and so can log out.
    """

    name: str
    role: Role
    has_session: bool = False

    @property
    def is_operator(self) -> bool:
        """Whether they see customers and may act."""
        return self.role == "operator"

    def customer(self, customer_id: str | None) -> str:
        """A customer's id as this viewer may see it.

        >>> Viewer("ann", "read_only").customer("7590-VHVEG"), Viewer("bob", "operator").customer("7590-VHVEG")
        ('…HVEG', '7590-VHVEG')
        """
        if customer_id is None:
            return "no id"
        if self.is_operator:
            return customer_id
        return f"…{customer_id[-_SHOWN:]}" if len(customer_id) > 2 * _SHOWN else "…"


NOBODY_ASKED = Viewer(LOCAL, "operator")
"""Who looks where no login is asked for: whoever sits at the machine."""


def viewer_of_key(client: Client) -> Viewer | None:
    """Who shows a key of this client; None where its scopes let nobody look."""
    if "admin" in client.scopes:
        return Viewer(client.name, "operator", has_session=True)
    return Viewer(client.name, "read_only", has_session=True) if "score" in client.scopes else None


def viewer_of_proxy(name: str, operators: frozenset[str]) -> Viewer:
    """Who a trusted proxy says is there."""
    return Viewer(name, "operator" if name in operators else "read_only")
