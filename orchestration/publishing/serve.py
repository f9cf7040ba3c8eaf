"""Serve the current sites: what `current` points to, at every request anew."""

import functools
import http.server
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestration.settings import Home


class _SiteHandler(http.server.SimpleHTTPRequestHandler):
    """Static files without a log line per request, and no guessing of types."""

    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".wasm": "application/wasm",
        ".parquet": "application/octet-stream",
        ".js": "text/javascript",
    }

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: who looks at which page is nobody's business."""

    def end_headers(self) -> None:
        """Add what keeps a browser from guessing and from caching an old site."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


class _SiteServer(http.server.ThreadingHTTPServer):
    """A server that does not complain of browsers that leave."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a dropped connection; anything else is a fault of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def site_server(
    folder: Path, *, bind: str, port: int
) -> http.server.ThreadingHTTPServer:
    """Return a server of one site; port 0 takes a free one."""
    handler = functools.partial(_SiteHandler, directory=str(folder))
    return _SiteServer((bind, port), handler)


def serve_sites(
    home: Home,
    audiences: Sequence[str],
    *,
    bind: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    """Serve each audience's site on a port of its own until interrupted."""
    servers = []
    for offset, audience in enumerate(audiences):
        folder = home.current / "sites" / audience
        server = site_server(folder, bind=bind, port=port + offset)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        say(f"{audience:<10} http://{bind}:{server.server_address[1]}/")
        servers.append(server)
    say("Ctrl-C ends it. There is no login: put it behind your own before sharing it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        for server in servers:
            server.shutdown()
