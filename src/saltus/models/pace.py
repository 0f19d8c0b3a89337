"""How fast a server is asked, and how long a client waits before it asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait that a Retry-After header asks for; None: no header that says so.

    Args:
        value: seconds or an HTTP date (RFC 9110, 10.2.3).
        now: the present, for dates.
    """
    if value is None:
        return None
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def backoff(tries: int, jitter: float) -> float:
    """Seconds to wait after so many tries: doubled each time, half of it at random.

    Args:
        tries: failed tries so far, from 1.
        jitter: uniform in 0..1, so that many clients do not come back at once.
    """
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries - 1, 30)) * (0.5 + jitter / 2))


class Pace:
    """Keeps requests and tokens per minute below a server's limits, evenly spaced.

    Tokens of a request are known only afterwards: what is expected is charged before, and
    `settle` corrects it.

    Args:
        requests_per_minute: None: no limit.
        tokens_per_minute: None: no limit.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock = clock
        self._next_request = self._next_token = self._held = 0.0

    @property
    def free(self) -> bool:
        """Whether there is nothing to wait for, ever or now."""
        return not (self._per_request or self._per_token or self._held)

    def reserve(self, tokens: int) -> float:
        """Take a place in the queue; seconds until it is this request's turn."""
        now = self._clock()
        start = max(now, self._next_request, self._next_token, self._held)
        self._next_request = start + self._per_request
        self._next_token = max(self._next_token, start) + self._per_token * tokens
        if self._held <= now:
            self._held = 0.0
        return start - now

    def settle(self, expected: int, actual: int) -> None:
        """Correct the tokens of a request that was charged before it was answered."""
        self._next_token += self._per_token * (actual - expected)

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long: the server said that it is too much."""
        self._held = max(self._held, self._clock() + seconds)

    async def turn(self, tokens: int) -> None:
        """Wait for this request's turn."""
        wait = self.reserve(tokens)
        while wait > 0:
            await asyncio.sleep(wait)
            # a hold that came meanwhile counts for those who wait already
            wait = self._held - self._clock()
