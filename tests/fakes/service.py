"""A service on loopback: a handler, a clock of its own, and faults on demand."""

import datetime as dt
import email.utils
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    """`content` is JSON unless it is bytes; `is_cut` breaks the connection half-way."""

    content: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False


TOO_MANY = Reply({"message": "Rate limit exceeded"}, 429, {"Retry-After": "0"})
BROKEN = Reply({"error": "internal"}, 500)
BAD_GATEWAY = Reply(b"<html>bad gateway</html>", 502)
NO_JSON = Reply(b'[{"id": 1, "na')
SIGN_ON = Reply(b"<html>sign on</html>", 200, {"Content-Type": "text/html"})


class FakeService:
    """Subclasses answer requests in `handle`; tests plan faults by request number."""

    def __init__(self) -> None:
        # The service's clock: tests move it, no test depends on the wall clock.
        self.now = dt.datetime(2026, 9, 30, 12, tzinfo=dt.UTC)
        self.requests: list[Request] = []
        self.faults: dict[int, Reply] = {}
        self.on_request: Callable[[int, Request], None] = lambda number, request: None
        self._lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are two sends: else each answer waits 40 ms for the client.
            disable_nagle_algorithm = True

            def log_message(self, *_: Any) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return email.utils.format_datetime(service.now, usegmt=True)

            def _serve(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                request = Request(
                    self.command,
                    parts.path,
                    {k: ",".join(v) for k, v in parse_qs(parts.query).items()},
                    dict(self.headers.items()),
                    self.rfile.read(length),
                )
                self._answer(service._reply(request))

            def _answer(self, reply: Reply) -> None:
                raw = isinstance(reply.content, bytes)
                content = reply.content if raw else json.dumps(reply.content).encode()
                self.send_response(reply.status)
                headers = {"Content-Type": "application/json", **reply.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(
                    content[: len(content) // 2] if reply.is_cut else content
                )
                if reply.is_cut:
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.shutdown(2)

            do_GET = do_POST = _serve  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self) -> "FakeService":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
            self.on_request(number, request)
            return self.faults.pop(number, None) or self.handle(request)

    def handle(self, request: Request) -> Reply:
        raise NotImplementedError
