"""Errors: the class an application catches, and what it reads from it."""

import anthropic
import openai
import pytest

from conftest import LIMITED_KEY, anthropic_client_of, openai_client_of
from gateway import Gateway
from recordings import Recording, recording
from upstream import Answer, End, Upstream

QUESTION = [{"role": "user", "content": "hello"}]

OPENAI_401 = recording("openai/openai-chat/status-code-and-exception-events-with-invalid-api-key-0-58caf9")
OPENAI_400 = recording("openai/openai-chat/o1-mini-system-role-developer-0-e3e203")
OPENAI_404 = recording("openai/openai-chat/chat-unknown-model-0-0a9258")
OPENAI_429 = recording("openai/openai-chat/authored-429-rate-limit")
OPENAI_QUOTA = recording("openai/openai-chat/authored-429-insufficient-quota")
OPENAI_503 = recording("openai/openai-chat/authored-503")
ANTHROPIC_401 = recording("anthropic/anthropic-messages/anthropic-completion-invalid-api-key-0-0b4b43")
ANTHROPIC_400 = recording(
    "anthropic/anthropic-messages/strict-schema-matrix-dangling-local-root-ref-is-rejected-0-dd0950"
)
ANTHROPIC_404 = recording(
    "anthropic/anthropic-messages/error-envelope-nonexistent-model-error-preserves-status-and-body-0-953e57"
)
ANTHROPIC_413 = recording("anthropic/anthropic-messages/authored-413-too-large")
ANTHROPIC_429 = recording("anthropic/anthropic-messages/authored-429-rate-limit")
ANTHROPIC_529 = recording("anthropic/anthropic-messages/authored-529-overloaded")


def message_of(recorded: Recording) -> str:
    """The provider's own words."""
    if recorded is OPENAI_503:
        return recorded.body.decode()
    return recorded.json["error"]["message"]


streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@streamed
@pytest.mark.parametrize(
    ("model", "recorded", "error", "status", "kind", "code"),
    [
        ("oa", OPENAI_401, openai.AuthenticationError, 401, "invalid_request_error", "invalid_api_key"),
        ("oa", OPENAI_400, openai.BadRequestError, 400, "invalid_request_error", "unsupported_value"),
        ("oa", OPENAI_404, openai.NotFoundError, 404, "invalid_request_error", "model_not_found"),
        ("oa", OPENAI_429, openai.RateLimitError, 429, "requests", "rate_limit_exceeded"),
        ("oa", OPENAI_QUOTA, openai.RateLimitError, 429, "insufficient_quota", "insufficient_quota"),
        ("an", ANTHROPIC_401, openai.AuthenticationError, 401, "invalid_request_error", "invalid_api_key"),
        ("an", ANTHROPIC_400, openai.BadRequestError, 400, "invalid_request_error", None),
        ("an", ANTHROPIC_404, openai.NotFoundError, 404, "invalid_request_error", "model_not_found"),
        ("an", ANTHROPIC_413, openai.APIStatusError, 413, "invalid_request_error", "request_too_large"),
        ("an", ANTHROPIC_429, openai.RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded"),
        ("an", ANTHROPIC_529, openai.InternalServerError, 503, "server_error", "server_overloaded"),
    ],
    ids=str,
)
def test_an_openai_client_catches_the_providers_error(
    openai_client: openai.OpenAI,
    upstream: Upstream,
    stream: bool,
    model: str,
    recorded: Recording,
    error: type[openai.APIStatusError],
    status: int,
    kind: str,
    code: str | None,
) -> None:
    upstream.answer(recorded.answer())
    with pytest.raises(error) as caught:
        openai_client.chat.completions.create(model=model, messages=QUESTION, stream=stream)
    assert caught.value.status_code == status
    assert (caught.value.type, caught.value.code) == (kind, code)
    assert caught.value.body["message"] == message_of(recorded)
    assert caught.value.response.headers.get("retry-after") == recorded.meta["response_headers"].get("retry-after")
    assert caught.value.request_id


@streamed
@pytest.mark.parametrize(
    ("model", "recorded", "error", "status", "kind"),
    [
        ("an", ANTHROPIC_401, anthropic.AuthenticationError, 401, "authentication_error"),
        ("an", ANTHROPIC_400, anthropic.BadRequestError, 400, "invalid_request_error"),
        ("an", ANTHROPIC_404, anthropic.NotFoundError, 404, "not_found_error"),
        ("an", ANTHROPIC_413, anthropic.RequestTooLargeError, 413, "request_too_large"),
        ("an", ANTHROPIC_429, anthropic.RateLimitError, 429, "rate_limit_error"),
        ("an", ANTHROPIC_529, anthropic.OverloadedError, 529, "overloaded_error"),
        ("oa", OPENAI_401, anthropic.AuthenticationError, 401, "authentication_error"),
        ("oa", OPENAI_400, anthropic.BadRequestError, 400, "invalid_request_error"),
        ("oa", OPENAI_404, anthropic.NotFoundError, 404, "not_found_error"),
        ("oa", OPENAI_429, anthropic.RateLimitError, 429, "rate_limit_error"),
        ("oa", OPENAI_503, anthropic.OverloadedError, 529, "overloaded_error"),
    ],
    ids=str,
)
def test_an_anthropic_client_catches_the_providers_error(
    anthropic_client: anthropic.Anthropic,
    upstream: Upstream,
    stream: bool,
    model: str,
    recorded: Recording,
    error: type[anthropic.APIStatusError],
    status: int,
    kind: str,
) -> None:
    upstream.answer(recorded.answer())
    with pytest.raises(error) as caught:
        anthropic_client.messages.create(model=model, max_tokens=10, messages=QUESTION, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.type == kind
    assert caught.value.api_message == message_of(recorded)
    assert caught.value.response.headers.get("retry-after") == recorded.meta["response_headers"].get("retry-after")
    assert caught.value.request_id


@pytest.mark.parametrize("model", ["oa", "an"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_page_of_a_proxy_is_a_server_error(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str, status: int
) -> None:
    page = Answer(status, {"content-type": "text/html"}, [b"<html><body><h1>Something is wrong</h1></body></html>"])
    upstream.answer(page, page)
    with pytest.raises(openai.InternalServerError) as caught_by_openai:
        openai_client.chat.completions.create(model=model, messages=QUESTION)
    with pytest.raises(anthropic.InternalServerError) as caught_by_anthropic:
        anthropic_client.messages.create(model=model, max_tokens=10, messages=QUESTION)
    assert caught_by_openai.value.status_code == status
    # Anthropic's clients know overload as 529.
    assert caught_by_anthropic.value.status_code in ({529, 503} if status == 503 else {status})


def test_a_spent_quota_is_a_matter_of_money_for_an_anthropic_client(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_QUOTA.answer())
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_client.messages.create(model="oa", max_tokens=10, messages=QUESTION)
    assert caught.value.type == "billing_error"
    assert caught.value.api_message == "You exceeded your current quota"


@pytest.mark.parametrize("key", ["wrong", "sk-ant-wrong"])
def test_a_wrong_key_is_refused_by_the_gateway(gateway: Gateway, upstream: Upstream, key: str) -> None:
    with openai_client_of(gateway, key) as client, pytest.raises(openai.AuthenticationError) as caught_by_openai:
        client.chat.completions.create(model="oa", messages=QUESTION)
    assert (caught_by_openai.value.status_code, caught_by_openai.value.code) == (401, "invalid_api_key")
    with (
        anthropic_client_of(gateway, key) as client,
        pytest.raises(anthropic.AuthenticationError) as caught_by_anthropic,
    ):
        client.messages.create(model="an", max_tokens=10, messages=QUESTION)
    assert caught_by_anthropic.value.type == "authentication_error"
    assert upstream.requests == []


@pytest.mark.parametrize("model", ["no-such-model", "an"], ids=["unknown", "not allowed"])
def test_a_model_one_may_not_use_looks_like_one_that_does_not_exist(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    with openai_client_of(gateway, LIMITED_KEY) as client, pytest.raises(openai.NotFoundError) as caught_by_openai:
        client.chat.completions.create(model=model, messages=QUESTION)
    assert (caught_by_openai.value.code, caught_by_openai.value.param) == ("model_not_found", "model")
    with (
        anthropic_client_of(gateway, LIMITED_KEY) as client,
        pytest.raises(anthropic.NotFoundError) as caught_by_anthropic,
    ):
        client.messages.create(model=model, max_tokens=10, messages=QUESTION)
    assert caught_by_anthropic.value.type == "not_found_error"
    assert upstream.requests == []


def test_a_request_that_cannot_be_translated_names_the_field(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model="an", messages=QUESTION, n=2)
    assert caught.value.param == "n"
    assert upstream.requests == []


def test_a_mistake_in_a_request_names_the_field(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    with pytest.raises(openai.BadRequestError) as caught_by_openai:
        openai_client.chat.completions.create(model="oa", messages="hello")
    assert (caught_by_openai.value.code, caught_by_openai.value.param) == ("invalid_type", "messages")
    with pytest.raises(anthropic.BadRequestError) as caught_by_anthropic:
        anthropic_client.messages.create(model="an", max_tokens=10, messages="hello")
    assert caught_by_anthropic.value.type == "invalid_request_error"
    assert "messages" in caught_by_anthropic.value.api_message
    assert upstream.requests == []


def test_an_unknown_path_is_told_as_such(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.images.generate(model="oa", prompt="a cat")
    assert caught.value.code == "unknown_url"
    assert upstream.requests == []


@streamed
@pytest.mark.parametrize("model", ["oa", "an"])
@pytest.mark.parametrize("end", [End.FIN, End.RST], ids=["closed", "reset"])
def test_a_provider_that_hangs_up_is_a_bad_gateway(
    openai_client: openai.OpenAI,
    anthropic_client: anthropic.Anthropic,
    upstream: Upstream,
    model: str,
    end: End,
    stream: bool,
) -> None:
    upstream.answer_with(lambda _: Answer(end=end, silent=True))
    with pytest.raises(openai.InternalServerError) as caught_by_openai:
        openai_client.chat.completions.create(model=model, messages=QUESTION, stream=stream)
    with pytest.raises(anthropic.InternalServerError) as caught_by_anthropic:
        anthropic_client.messages.create(model=model, max_tokens=10, messages=QUESTION, stream=stream)
    assert caught_by_openai.value.status_code == caught_by_anthropic.value.status_code == 502
