"""Small servers on this machine, for tests of what is read from behind addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, notes what is asked and says nothing of it."""

    def __init__(self, *args: Any, asked: list[str], **options: Any) -> None:
        self.asked = asked
        super().__init__(*args, **options)

    def parse_request(self) -> bool:
        """Note the request."""
        sound = super().parse_request()
        self.asked.append(f"{self.command} {self.path}")
        return sound

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Print nothing of a connection that was closed early."""


@contextmanager
def running(handler: Any) -> Iterator[str]:
    """The address of a server that lives as long as the block."""
    with _Server(("127.0.0.1", 0), handler) as http:
        Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a folder, and what was asked of its server."""
    folder.mkdir(exist_ok=True)
    asked = list[str]()
    with running(partial(Quiet, directory=str(folder), asked=asked)) as address:
        yield address, asked


Answer = tuple[int, dict[str, str], bytes]


class _Scripted(BaseHTTPRequestHandler):
    def __init__(self, *args: Any, answers: Any, asked: list[str]) -> None:
        self.answers, self.asked = answers, asked
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        status, headers, body = self.answers(self.path)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def scripted(answers: Any) -> Iterator[tuple[str, list[str]]]:
    """A server that answers as a function of the path says, and what it was asked."""
    asked = list[str]()
    with running(partial(_Scripted, answers=answers, asked=asked)) as address:
        yield address, asked


def page(*links: str) -> Answer:
    """An index page with such links."""
    body = "".join(f'<a href="{link}">x</a>' for link in links)
    return 200, {"Content-Type": "text/html"}, body.encode()
