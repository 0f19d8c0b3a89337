"""A trained family behind an OpenAI-compatible server on this machine.

It stands in for a family of served models, of which no other can be had without a network:
`saltus run` collects from it as from any server. Completions and chat, both shapes of
log-probabilities, echo on and off. It listens on 127.0.0.1 and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl
import torch

from saltus import store
from saltus.errors import SaltusError
from saltus.models.answering import Answering
from saltus.models.family import FAMILIES, Preset
from saltus.models.replies import Told, tell
from saltus.models.transformer import Characters, Transformer
from saltus.runners.train import VERB, WEIGHTS
from saltus.tables import Models

HOST = "127.0.0.1"
MOST_BYTES = 1 << 20  # of a request
TIMEOUT_SECONDS = 30.0  # of an idle connection
MOST_TOKENS, MOST_TOP = 4096, 20
FACTS = ("family", "params", "tokens", "flops", "loss", "loss_name", "seed")


@dataclass(frozen=True)
class Network:
    """One trained model: its weights and the characters that it knows."""

    module: Transformer
    characters: Characters


def networks(folder: Path) -> dict[str, Network]:
    """The final models of a folder that `saltus train` wrote, by label.

    Raises:
        SaltusError: it is no such folder, or its family answers no text.
    """
    options = dict(_options(folder))
    family = FAMILIES[options.pop("family")]
    sizes = tuple(options.pop("sizes"))
    preset = Preset(sizes=sizes, **options)
    found = {}
    for path in sorted((folder / WEIGHTS).glob("*.pt")):
        size, seed = (int(part) for part in path.stem.split("-"))
        learner = family.build(size, seed, preset)
        if not isinstance(learner, Answering):
            raise SaltusError(f"family {family.name!r} answers no text and cannot be served")
        learner.module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        name = f"{family.name}-{family.dial}{size}@seed{seed}"
        found[name] = Network(learner.module.eval(), learner.data.characters)
    return found


def _options(folder: Path) -> Mapping[str, Any]:
    stage = store.load_manifest(folder)["stages"].get(VERB)
    if stage is None or not (folder / WEIGHTS).is_dir():
        raise SaltusError(f"{folder} holds no weights; make it with `saltus train`")
    options: Mapping[str, Any] = stage["options"]
    return options


def family_yaml(folder: Path, port: int, api: str) -> str:
    """A family file for `saltus run` that names every model of the folder with its facts."""
    models = store.load(folder, Models).filter(pl.col("step").is_null()).sort("params", "seed")
    lines = [
        "defaults:",
        f"  url: http://{HOST}:{port}/v1",
        f"  api: {api}",
        "  concurrency: 2",
        "models:",
    ]
    for row in models.iter_rows(named=True):
        lines.append(f"  - name: {row['model_name']}-run{row['seed']}")
        lines.append(f"    served_as: {json.dumps(row['model'])}")
        lines += [f"    {f}: {json.dumps(row[f])}" for f in FACTS if row[f] is not None]
    return "\n".join(lines) + "\n"


class FamilyServer(ThreadingHTTPServer):
    """A server that is bound and does not answer yet; `serve_forever` makes it.

    Args:
        models: by the name that requests give.
        port: 0 for any free one.
        echo: whether completions may ask for the prompt's own tokens.
    """

    daemon_threads = True

    def __init__(self, models: Mapping[str, Network], port: int, *, echo: bool = True) -> None:
        super().__init__((HOST, port), Handler)
        self.models, self.echo = models, echo
        self.lock = Lock()  # one forward pass at a time: two cores gain nothing from more


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: FamilyServer
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS
    wbufsize = -1  # headers and body leave together, or each answer waits 40 ms
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The list of models."""
        if self.path != "/v1/models":
            self._send(404, _fault("no such address"))
            return
        names = self.server.models
        data = [{"id": name, "object": "model", "owned_by": "saltus"} for name in names]
        self._send(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        """An answer, or why there is none."""
        try:
            body = self._body()
            with self.server.lock:
                told = answer(self.path, body, self.server.models, echo=self.server.echo)
            self._send(200, told)
        except SaltusError as fault:
            self._send(400, _fault(str(fault)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is logged: `saltus run` keeps the record."""

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,9}", length) or int(length) > MOST_BYTES:
            self.close_connection = True
            raise SaltusError(f"a request needs a length of at most {MOST_BYTES} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise SaltusError("the request is no JSON") from None
        if not isinstance(body, dict):
            raise SaltusError("the request is no JSON object")
        return body

    def _send(self, status: int, document: Mapping[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


def answer(
    path: str, body: Mapping[str, Any], models: Mapping[str, Network], *, echo: bool
) -> dict[str, Any]:
    """The response to one request.

    Raises:
        SaltusError: an unknown address or model, or a field that is not what it must be.
    """
    chat = path == "/v1/chat/completions"
    if not chat and path != "/v1/completions":
        raise SaltusError(f"no such address: {path}")
    name = str(body.get("model"))
    if name not in models:
        raise SaltusError(f"no model {name!r}; there are {', '.join(models)}")
    wanted = body.get("top_logprobs" if chat else "logprobs")
    top_k = _whole(wanted or 0, 0, MOST_TOP, "logprobs")
    told = tell(
        models[name].module,
        models[name].characters,
        _last_message(body) if chat else _prompt(body),
        max_tokens=_whole(body.get("max_tokens", 16), 0, MOST_TOKENS, "max_tokens"),
        temperature=_number(body.get("temperature", 1.0), "temperature"),
        seed=_whole(body.get("seed") or 0, 0, 1 << 62, "seed"),
        stop=_stop(body.get("stop")),
        echo=echo and not chat and body.get("echo") is True,
        top_k=top_k,
    )
    return _chat(told, body, name) if chat else _legacy(told, wanted is not None, name)


def _prompt(body: Mapping[str, Any]) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise SaltusError("`prompt` must be one text")
    return prompt


def _last_message(body: Mapping[str, Any]) -> str:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict) or not isinstance(last.get("content"), str):
        raise SaltusError("`messages` must end with a message whose content is a text")
    return str(last["content"])


def _whole(value: object, low: int, high: int, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SaltusError(f"`{field}` must be a whole number from {low} to {high}")
    return value


def _number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise SaltusError(f"`{field}` must be a number from 0 to 100")
    return float(value)


def _stop(value: object) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else value or []
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise SaltusError("`stop` must be a text or a list of texts")
    return tuple(given)


def _legacy(told: Told, logprobs: bool, model: str) -> dict[str, Any]:
    offsets = [sum(map(len, told.tokens[:at])) for at in range(len(told.tokens))]
    shown = {
        "tokens": told.tokens,
        "token_logprobs": told.logprobs,
        "top_logprobs": told.top,
        "text_offset": offsets,
    }
    choice = {
        "index": 0,
        "text": told.text,
        "finish_reason": told.finish,
        "logprobs": shown if logprobs else None,
    }
    return _response("text_completion", model, choice, told)


def _chat(told: Told, body: Mapping[str, Any], model: str) -> dict[str, Any]:
    content = [
        {
            "token": token,
            "logprob": value,
            "bytes": list(token.encode()),
            "top_logprobs": [
                {"token": other, "logprob": lp, "bytes": list(other.encode())}
                for other, lp in (top or {}).items()
            ],
        }
        for token, value, top in zip(told.tokens, told.logprobs, told.top, strict=True)
    ]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": told.text},
        "finish_reason": told.finish,
        "logprobs": {"content": content} if body.get("logprobs") is True else None,
    }
    return _response("chat.completion", model, choice, told)


def _response(kind: str, model: str, choice: Mapping[str, Any], told: Told) -> dict[str, Any]:
    usage = {
        "prompt_tokens": told.prompt_tokens,
        "completion_tokens": told.completion_tokens,
        "total_tokens": told.prompt_tokens + told.completion_tokens,
    }
    return {"object": kind, "model": model, "choices": [choice], "usage": usage}


def _fault(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error"}}
