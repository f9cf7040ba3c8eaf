"""The HTTP client waits as it is told, repeats what may be, and never tells secrets."""

import datetime as dt
import threading

import pytest
from pydantic import SecretStr

from orchestration.sources.http import (
    ATTEMPTS,
    Client,
    ClientCredentials,
    KeyAuth,
    RefusedError,
    SourceError,
    secret,
)
from tests.fakes.service import (
    BAD_GATEWAY,
    BROKEN,
    NO_JSON,
    SIGN_ON,
    FakeService,
    Reply,
    Request,
)

pytestmark = pytest.mark.unit
KEY = "canary-key-5b1e"


class Echo(FakeService):
    """Answers every request with its number; /token gives tokens that wear out."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0
        self.valid: set[str] = set()

    def handle(self, request: Request) -> Reply:
        if request.path == "/token":
            self.tokens += 1
            self.valid = {f"Bearer token-{self.tokens}"}
            return Reply({"access_token": f"token-{self.tokens}"})
        if request.path == "/guarded" and request.headers["Authorization"] not in (
            self.valid
        ):
            return Reply({"message": "expired"}, 401)
        if request.path == "/forbidden":
            return Reply({"code": "missing_scope", "message": KEY}, 403)
        if request.path == "/linked":
            link = f'<{self.url}/linked?cursor=abc>; rel="next"'
            return Reply([], headers={"Link": link})
        return Reply({"number": len(self.requests)})


@pytest.fixture
def service():
    with Echo() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(service, waits):
    auth = KeyAuth(SecretStr(KEY))
    with Client("ats", service.url, auth, timeout=5, sleep=waits.append) as made:
        yield made


@pytest.mark.parametrize(
    "fault", [BROKEN, BAD_GATEWAY, NO_JSON, SIGN_ON, Reply({"a": 1}, is_cut=True)]
)
def test_what_may_be_another_answer_is_asked_for_again(client, service, fault):
    service.faults = {1: fault, 2: fault}

    answer = client.get("things")

    assert answer.content == {"number": 3}
    assert client.n_repeated == 2


def test_retry_after_in_seconds_is_waited_and_little_more(client, service, waits):
    service.faults = {1: Reply({}, 429, {"Retry-After": "17"})}

    client.get("things")

    assert 17 <= waits[0] <= 17.25


def test_retry_after_as_a_date_counts_from_the_servers_clock(client, service, waits):
    service.now = dt.datetime(2031, 1, 1, tzinfo=dt.UTC)
    then = "Wed, 01 Jan 2031 00:00:42 GMT"
    service.faults = {1: Reply({}, 429, {"Retry-After": then})}

    client.get("things")

    assert 42 <= waits[0] <= 42.25


def test_without_a_header_waits_grow(client, service, waits):
    service.faults = dict.fromkeys((1, 2, 3, 4), Reply({}, 429))

    client.get("things")

    assert waits == sorted(waits)
    assert waits[3] >= 8


def test_a_wait_beyond_a_quarter_of_an_hour_is_left_to_a_person(client, service):
    service.faults = {1: Reply({}, 429, {"Retry-After": "86400"})}

    with pytest.raises(SourceError, match="1440 minutes"):
        client.get("things")


def test_it_gives_up_after_all_attempts_and_says_where(client, service):
    service.faults = dict.fromkeys(range(1, 50), BROKEN)

    with pytest.raises(SourceError, match=f"/things .*HTTP 500, after {ATTEMPTS}"):
        client.get("things", {"cursor": "secret-cursor"})


def test_an_answer_that_comes_too_late_is_asked_for_again(service, waits):
    late = threading.Event()
    service.on_request = lambda number, _: number == 1 and late.wait(1.5)
    auth = KeyAuth(SecretStr(KEY))

    with Client("ats", service.url, auth, timeout=1, sleep=waits.append) as client:
        answer = client.get("things")

    assert client.n_repeated >= 1
    assert answer.content["number"] > 1


@pytest.mark.parametrize("scheme", ["http", "https"], ids=["closed port", "no TLS"])
def test_a_server_that_cannot_be_reached_is_named_after_all_attempts(
    service, waits, scheme
):
    # Nobody listens on the first; the second does not speak TLS.
    place = {
        "http": "http://127.0.0.1:9",
        "https": service.url.replace("http:", "https:"),
    }[scheme]
    auth = KeyAuth(SecretStr(KEY))
    with (
        Client("ats", place, auth, timeout=5, sleep=waits.append) as client,
        pytest.raises(SourceError, match=f"/things .*after {ATTEMPTS}") as caught,
    ):
        client.get("things")

    assert len(waits) == ATTEMPTS - 1
    assert KEY not in str(caught.value)


def test_an_exhausted_window_is_waited_for_before_the_next_request(
    client, service, waits
):
    reset = str(int(service.now.timestamp()) + 9)
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    service.faults = {1: Reply({}, headers=headers)}

    client.get("things")
    client.get("things")

    assert waits == [9.0]


def test_another_origin_is_refused(client):
    with pytest.raises(SourceError, match="another server"):
        client.get("http://169.254.169.254/latest/meta-data")


def test_the_same_host_on_another_port_is_another_origin(client, service):
    port = int(service.url.rsplit(":", 1)[1]) + 1

    with pytest.raises(SourceError, match="another server"):
        client.get(f"http://127.0.0.1:{port}/things")


def test_a_redirect_is_not_followed(client, service):
    service.faults = {1: Reply({}, 302, {"Location": "https://sso.example/login"})}

    with pytest.raises(SourceError, match="leads elsewhere"):
        client.get("things")


def test_a_refusal_has_status_and_code_and_no_secret(client):
    with pytest.raises(RefusedError) as caught:
        client.get("forbidden")

    assert (caught.value.status, caught.value.code) == (403, "missing_scope")
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_link_header_names_the_next_page(client, service):
    assert client.get("linked").next_url == f"{service.url}/linked?cursor=abc"


def test_an_expired_token_is_renewed_once_and_the_request_goes_on(service, waits):
    auth = ClientCredentials(
        f"{service.url}/token", SecretStr("id"), SecretStr(KEY), subject="7"
    )
    with Client("ats", service.url, auth, sleep=waits.append) as client:
        client.get("guarded")
        service.valid.clear()

        answer = client.get("guarded")

    assert answer.content["number"] == len(service.requests)
    assert service.tokens == 2


def test_a_key_that_is_not_accepted_is_not_asked_with_again(client, service):
    service.faults = {1: Reply({}, 401), 2: Reply({}, 401)}

    with pytest.raises(RefusedError, match="not accepted"):
        client.get("things")
    assert len(service.requests) == 1


def test_nothing_of_a_client_shows_its_key(client):
    assert KEY not in repr(client)
    assert KEY not in repr(client.auth)


def test_a_secret_is_read_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("ATS_KEY", KEY)
    (tmp_path / "key").write_text(KEY + "\n")

    found = [secret("env:ATS_KEY", where="ats"),
             secret(f"file:{tmp_path}/key", where="ats")]  # fmt: skip

    assert [value.get_secret_value() for value in found] == [KEY, KEY]


@pytest.mark.parametrize(
    "reference", [KEY, "env:", "env:ATS_KEY_THAT_IS_NOT_SET", "file:/nowhere/key"]
)
def test_a_secret_that_is_not_there_is_an_error_that_does_not_repeat_it(reference):
    with pytest.raises(SourceError) as caught:
        secret(reference, where="sources.yaml, ats")

    assert KEY not in str(caught.value)
