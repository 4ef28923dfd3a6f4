"""Sessions that somebody ended: a cookie is signed and says itself until when it holds, so a copy of it would go on."""

from __future__ import annotations

import threading


class EndedSessions:
    """Those that were ended before their time, as this process knows them. Safe for several threads."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._turn = threading.Lock()

    def end(self, session: str, *, until: float, now: float) -> None:
        """Remember a session for as long as its cookie would hold, and forget those whose time is over.

        Args:
            session: Its id.
            until: When it would have ended of itself, seconds since 1970 UTC.
            now: Likewise.
        """
        with self._turn:
            self._until = {one: its for one, its in self._until.items() if its > now}
            if until > now:
                self._until[session] = until

    def __contains__(self, session: str) -> bool:
        return session in self._until

    def __len__(self) -> int:
        return len(self._until)
