"""What a run may spend: requests, tokens or money, the whole folder counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from saltus.errors import SaltusError
from saltus.models.client import Reply, Request
from saltus.models.served import Prices, Served

KINDS = ("requests", "tokens", "money")
MILLION = 1e6


@dataclass
class Spent:
    """What was spent.

    Args:
        requests: sent, retries included.
        prompt_tokens: read by the models, as the servers count.
        completion_tokens: written by them.
        money: in the currency of the prices; 0 where there are none.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float = 0.0

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, prices: Prices | None, requests: int, read: int, written: int) -> None:
        """Count what came back."""
        self.requests += requests
        self.prompt_tokens += read
        self.completion_tokens += written
        self.money += cost(prices, read, written)


def cost(prices: Prices | None, read: int, written: int) -> float:
    """Price of so many tokens."""
    if prices is None:
        return 0.0
    return (prices.input_per_million * read + prices.output_per_million * written) / MILLION


@dataclass
class Budget:
    """Limits, and what is reserved for requests under way.

    A request is sent only when its most expensive outcome still fits: every byte of its prompt
    a token and an answer of full length. So tokens and money never exceed the limit; requests
    may, by the retries of those under way.

    Args:
        limits: kind -> most.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)
    _reserved: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    def reserve(self, served: Served, requests: Sequence[Request]) -> dict[str, float] | None:
        """Set aside what requests may cost at most; None: there is no room for them."""
        if not self.limits:
            return {}
        read = sum(most_read(served, request) for request in requests)
        written = sum(most_written(request) for request in requests)
        most = {
            "requests": float(len(requests)),
            "tokens": float(read + written),
            "money": cost(served.prices, read, written),
        }
        now = {
            "requests": self.spent.requests, "tokens": self.spent.tokens, "money": self.spent.money,
        }  # fmt: skip
        for kind, limit in self.limits.items():
            if now[kind] + self._reserved[kind] + most[kind] > limit:
                return None
        for kind, amount in most.items():
            self._reserved[kind] += amount
        return most

    def release(self, reserved: Mapping[str, float]) -> None:
        """Give back what was set aside."""
        for kind, amount in reserved.items():
            self._reserved[kind] -= amount


def counted(served: Served, request: Request, reply: Reply) -> tuple[int, int]:
    """Tokens (read, written) that a reply counts for: as stated, or the most that it can be.

    A server that states none, or none that can be true, must not make a budget endless.
    """
    read, written = reply.prompt_tokens, reply.completion_tokens
    if reply.tries == 0:
        return 0, 0  # nothing was sent
    return (
        most_read(served, request) if read is None else read,
        most_written(request) if written is None else written,
    )


def most_written(request: Request) -> int:
    """Most tokens of an answer; a text that is scored takes one."""
    return request.max_tokens if request.continuation is None else 1


def most_read(served: Served, request: Request) -> int:
    """Most tokens that a prompt can have: its bytes, and some for a chat template."""
    text = served.asked(request.prompt) + (request.continuation or "") + (served.system or "")
    return len(text.encode()) + 32


def parse_budget(values: Sequence[str], models: Sequence[Served]) -> dict[str, float]:
    """Limits as `KIND=AMOUNT`, or a plain number of requests.

    Raises:
        SaltusError: no such kind or amount, or money without prices.
    """
    limits: dict[str, float] = {}
    for value in values:
        kind, equals, amount = value.partition("=") if "=" in value else ("requests", "=", value)
        try:
            number = float(amount)
        except ValueError:
            number = -1.0
        if kind not in KINDS or not equals or not 0 < number < float("inf"):
            raise SaltusError(
                f"--budget {value}: must be KIND=AMOUNT, such as requests=5000, tokens=2e6 or "
                "money=10"
            )
        limits[kind] = number
    unpriced = [model.name for model in models if model.prices is None]
    if "money" in limits and unpriced:
        raise SaltusError(
            f"--budget money: {', '.join(unpriced)} has no `prices` in the family file"
        )
    return limits
