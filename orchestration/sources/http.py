"""HTTP for connectors: waits as it is told, repeats what may be repeated, says why.

httpx speaks, tenacity repeats. What is ours is what a vendor's API needs beyond that:
which answers may be repeated, one fresh token after a 401, pages on the same origin
only, and messages that hold neither a secret nor a value.
"""

import base64
import datetime as dt
import email.utils
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
)

from orchestration.sources import SourceError

__all__ = [
    "Answer",
    "Auth",
    "Client",
    "ClientCredentials",
    "KeyAuth",
    "RefusedError",
    "SourceError",
    "secret",
]

ATTEMPTS = 8
# A longer wait than this is a person's business, not a program's.
LONGEST_WAIT = 900.0
LONGEST_BODY = 256 << 20
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class RefusedError(SourceError):
    """The service answered, and refused: status and its own error code.

    Attributes
    ----------
    status : int
    code : str
        The vendor's name of the error; "" where it gave none.
    """

    def __init__(self, message: str, *, status: int, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _TransientError(Exception):
    """An answer that may be another one if it is asked for again."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.what, self.wait = what, wait


def secret(reference: str, *, where: str) -> SecretStr:
    """Return the secret that `env:NAME` or `file:PATH` refers to.

    Raises
    ------
    SourceError
        If it is written out instead of referred to, or is not there.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and name:
        value = os.environ.get(name)
        if not value:
            raise SourceError(f"{where}: the environment has no {name}; set it")
        return SecretStr(value.strip())
    if kind == "file" and name:
        try:
            value = Path(name).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError):
            raise SourceError(f"{where}: the file {name} cannot be read") from None
        if not value:
            raise SourceError(f"{where}: the file {name} is empty")
        return SecretStr(value)
    raise SourceError(
        f"{where}: write `env:NAME` or `file:PATH`; a secret does not belong into a"
        " settings file"
    )


class Auth:
    """How a client proves who it is; `renew` answers a 401."""

    def headers(self, client: "Client") -> dict[str, str]:
        """Return the headers of the next request."""
        raise NotImplementedError

    def renew(self) -> bool:
        """Forget what was used; return whether another try can differ."""
        return False


@dataclass(frozen=True)
class KeyAuth(Auth):
    """HTTP Basic with an API key as the user and no password."""

    key: SecretStr

    def headers(self, client: "Client") -> dict[str, str]:
        """Return the Basic header."""
        return {"Authorization": _basic(self.key.get_secret_value(), "")}


@dataclass
class ClientCredentials(Auth):
    """OAuth 2 client credentials (RFC 6749, section 4.4): a token for a while."""

    token_url: str
    client_id: SecretStr
    client_secret: SecretStr
    subject: str | None = None
    _token: SecretStr | None = field(default=None, init=False, repr=False)

    def headers(self, client: "Client") -> dict[str, str]:
        """Return the Bearer header, with a token that is asked for when needed."""
        if self._token is None:
            form = {"grant_type": "client_credentials"}
            if self.subject:
                form["sub"] = self.subject
            basic = _basic(
                self.client_id.get_secret_value(), self.client_secret.get_secret_value()
            )
            answer = client.token(self.token_url, form, {"Authorization": basic})
            token = answer.get("access_token") if isinstance(answer, dict) else None
            if not token:
                raise SourceError(
                    f"{client.name}: the token service answered without a token;"
                    " look at the client id, its secret and its subject"
                )
            self._token = SecretStr(str(token))
        return {"Authorization": f"Bearer {self._token.get_secret_value()}"}

    def renew(self) -> bool:
        """Forget the token."""
        had = self._token is not None
        self._token = None
        return had


@dataclass(frozen=True)
class Answer:
    """What a service answered.

    Attributes
    ----------
    content : Any
        The parsed JSON.
    next_url : str or None
        The `rel="next"` of the Link header.
    served_at : datetime or None
        The server's own clock, UTC: watermarks never come from this machine's.
    """

    content: Any
    next_url: str | None
    served_at: dt.datetime | None


@dataclass
class Client:
    """A client of one service.

    Attributes
    ----------
    name : str
        The source, for messages.
    base_url : str
    auth : Auth
    sleep : callable
        Waits that many seconds; tests count instead.
    """

    name: str
    base_url: str
    auth: Auth
    timeout: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    headers: Mapping[str, str] = field(default_factory=dict)
    n_requests: int = field(default=0, init=False)
    n_repeated: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._origin = _origin(self.base_url)
        self._http = httpx.Client(
            timeout=self.timeout,
            follow_redirects=False,
            # Proxies of the environment are meant; its netrc is not.
            headers={"Accept": "application/json", "User-Agent": "calibrant"},
        )
        self._wait = 0.0

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Answer:
        """Return the answer to a GET; `path` may be a whole URL of the same origin.

        Raises
        ------
        RefusedError
            If the service refuses.
        SourceError
            If it does not answer after all repetitions, or the URL leads elsewhere.
        """
        return self._ask("GET", self._url(path), query=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Return the answer to a POST with a JSON body that only reads."""
        return self._ask("POST", self._url(path), body=body)

    def token(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Any:
        """Return what a token service answers; it has limits of its own."""
        return self._repeated(
            lambda: self._once("POST", url, form=form, headers=headers), url
        ).content

    def _ask(self, method: str, url: str, **about: Any) -> Answer:
        """One request with this client's proof; a 401 gets one fresh proof."""

        def once() -> Answer:
            proof = {**self.headers, **self.auth.headers(self)}
            try:
                return self._once(method, url, headers=proof, **about)
            except RefusedError as error:
                if error.status != 401 or not self.auth.renew():
                    raise
            proof = {**self.headers, **self.auth.headers(self)}
            return self._once(method, url, headers=proof, **about)

        return self._repeated(once, url)

    def _repeated(self, once: Callable[[], Answer], url: str) -> Answer:
        """The answer, asked for again while that may help."""
        last: list[_TransientError] = []

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            told = error.wait if isinstance(error, _TransientError) else None
            # As told and a little more, so that clients do not come back as one.
            jitter = random.uniform(0, 0.25)  # noqa: S311
            if told is not None:
                return told + jitter
            return min(2.0 ** (state.attempt_number - 1), 60.0) + jitter

        def note(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, _TransientError):
                last.append(error)
                self.n_repeated += 1

        retrying = Retrying(
            retry=retry_if_exception_type(_TransientError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait,
            sleep=self.sleep,
            after=note,
            reraise=True,
        )
        try:
            return retrying(once)
        except _TransientError as error:
            raise SourceError(
                f"{self.name}: {_place(url)} could not be read: {error.what}, after"
                f" {ATTEMPTS} attempts. What was read so far is kept; run the sync"
                " again."
            ) from None

    def _once(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request: an answer, a refusal, or what may be repeated."""
        self._pause()
        self.n_requests += 1
        try:
            response = self._http.request(
                method, url, params=query, json=body, data=form, headers=dict(headers)
            )
        except httpx.TimeoutException:
            raise _TransientError("no answer in time") from None
        except httpx.TransportError as error:
            # The class only: the text may hold the request.
            raise _TransientError(
                f"the connection failed ({type(error).__name__})"
            ) from None
        self._note_limits(response)
        place = _place(url)
        if response.status_code in _TRANSIENT:
            raise self._transient(response, place)
        if response.is_redirect:
            raise SourceError(
                f"{self.name}: {place} leads elsewhere (HTTP {response.status_code}):"
                " a sign-on page, or a wrong base_url"
            )
        if len(response.content) > LONGEST_BODY:
            raise SourceError(f"{self.name}: {place} answered with over 256 MB")
        if response.is_error:
            raise self._refusal(response, place)
        try:
            content = json.loads(response.content)
        except (ValueError, RecursionError):
            raise _TransientError("the answer is no JSON (a sign-on page?)") from None
        link = response.links.get("next", {}).get("url")
        return Answer(content, link, _served_at(response))

    def _url(self, path: str) -> str:
        url = (
            path if "://" in path else f"{self.base_url.rstrip('/')}/{path.lstrip('/')}"
        )
        if _origin(url) != self._origin:
            raise SourceError(
                f"{self.name}: a page was said to be on another server than"
                f" {self._origin}; not followed"
            )
        return url

    def _pause(self) -> None:
        """Wait where the service has said that nothing is left of its window."""
        if self._wait > 0:
            wait, self._wait = min(self._wait, LONGEST_WAIT), 0.0
            self.sleep(wait)

    def _note_limits(self, response: httpx.Response) -> None:
        if response.headers.get("X-RateLimit-Remaining") != "0":
            return
        if response.status_code == 429:
            return
        reset = _number(response.headers.get("X-RateLimit-Reset"))
        served = _served_at(response)
        if reset and served:
            self._wait = max(reset - served.timestamp(), 0.0)

    def _transient(self, response: httpx.Response, place: str) -> Exception:
        """What to do with an answer that may differ later."""
        wait = _told_wait(response)
        if wait is not None and wait > LONGEST_WAIT:
            return SourceError(
                f"{self.name}: {place} asks to wait {wait / 60:.0f} minutes; what was"
                " read so far is kept; run the sync again then"
            )
        status = response.status_code
        what = "too many requests" if status == 429 else f"HTTP {status}"
        return _TransientError(what, wait)

    def _refusal(self, response: httpx.Response, place: str) -> RefusedError:
        status = response.status_code
        cure = {
            401: "the credentials are not accepted; look at the key or the client",
            403: "the credentials may not read it; grant the scope or the role",
            404: "there is no such resource; look at base_url",
        }.get(status, "see the vendor's documentation for this status")
        return RefusedError(
            f"{self.name}: {place} refused (HTTP {status}): {cure}",
            status=status,
            code=_error_code(response),
        )


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _origin(url: str) -> str:
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode()}"


def _place(url: str) -> str:
    """The path of a URL: its query may hold a cursor or a value."""
    return httpx.URL(url).path


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _served_at(response: httpx.Response) -> dt.datetime | None:
    try:
        return email.utils.parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError, TypeError):
        return None


def _told_wait(response: httpx.Response) -> float | None:
    """Seconds that a service asks to wait; None where it does not say."""
    text = response.headers.get("Retry-After")
    seconds = _number(text)
    if seconds is not None:
        return max(seconds, 0.0)
    served = _served_at(response)
    if text and served:
        try:
            then = email.utils.parsedate_to_datetime(text)
            return max((then - served).total_seconds(), 0.0)
        except (ValueError, TypeError):
            pass
    reset = _number(response.headers.get("X-RateLimit-Reset"))
    if response.status_code == 429 and reset and served:
        return max(reset - served.timestamp(), 0.0)
    return None


def _error_code(response: httpx.Response) -> str:
    """The vendor's name of an error: a short word, never a sentence."""
    try:
        content = json.loads(response.content)
    except (ValueError, RecursionError):
        return ""
    about = content.get("errorInfo") if isinstance(content, dict) else None
    named = about if isinstance(about, dict) else content
    code = named.get("code") if isinstance(named, dict) else None
    return (
        code if isinstance(code, str) and len(code) < 60 and code.isidentifier() else ""
    )
