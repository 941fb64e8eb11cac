"""What the gateway tells beside the answer, where the SDKs show it."""

import anthropic
import openai
import pytest

from conftest import CLIENT_KEY, anthropic_client_of
from gateway import Gateway
from recordings import recording
from upstream import Upstream

OPENAI_TEXT = recording("openai/openai-chat/chat-json-mode-0-e5348a")
ANTHROPIC_TEXT = recording("anthropic/anthropic-messages/test-extra-headers-0-f0c430")
RECORDED = {"oa": OPENAI_TEXT, "an": ANTHROPIC_TEXT}
UPSTREAM_MODEL = {"oa": "gpt-4.1-mini", "an": "claude-sonnet-4-5"}
QUESTION = [{"role": "user", "content": "hello"}]

models = pytest.mark.parametrize("model", ["oa", "an"])


@models
def test_both_sdks_find_the_id_of_the_call(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer(RECORDED[model].answer(), RECORDED[model].answer())
    to_openai = openai_client.chat.completions.with_raw_response.create(model=model, messages=QUESTION)
    to_anthropic = anthropic_client.messages.with_raw_response.create(model=model, max_tokens=10, messages=QUESTION)
    for raw in (to_openai, to_anthropic):
        assert raw.headers["x-tollgate-request-id"] == raw.parse()._request_id
        assert raw.headers["x-tollgate-model"] == UPSTREAM_MODEL[model]
        assert raw.headers["x-tollgate-instance"] == {"oa": "openai", "an": "anthropic"}[model]
    assert to_openai.headers["x-tollgate-request-id"] != to_anthropic.headers["x-tollgate-request-id"]


def test_the_providers_id_and_limits_are_told_under_another_name(
    openai_client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_TEXT.answer())
    headers = openai_client.chat.completions.with_raw_response.create(model="oa", messages=QUESTION).headers
    recorded = OPENAI_TEXT.meta["response_headers"]
    assert headers["x-upstream-request-id"] == recorded["x-request-id"]
    assert headers["x-upstream-ratelimit-remaining-tokens"] == recorded["x-ratelimit-remaining-tokens"]
    assert "x-ratelimit-remaining-tokens" not in headers


def test_what_was_lost_on_the_way_to_another_dialect_is_told(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(ANTHROPIC_TEXT.answer())
    headers = openai_client.chat.completions.with_raw_response.create(
        model="an", messages=QUESTION, seed=7, temperature=1.5
    ).headers
    losses = dict(loss.split("=") for loss in headers["x-tollgate-loss"].split(", "))
    assert losses["seed"] == "dropped"
    assert losses["temperature"] == "approximated"
    body = upstream.only_request.json
    assert "seed" not in body
    assert body["temperature"] == 1


def test_nothing_is_lost_in_the_same_dialect(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(OPENAI_TEXT.answer())
    answer = openai_client.chat.completions.with_raw_response.create(model="oa", messages=QUESTION, seed=7)
    assert "x-tollgate-loss" not in answer.headers


def test_two_different_keys_are_refused(gateway: Gateway, upstream: Upstream) -> None:
    other = {"authorization": "Bearer another-key"}
    with anthropic_client_of(gateway, CLIENT_KEY) as client, pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model="an", max_tokens=10, messages=QUESTION, extra_headers=other)
    assert upstream.requests == []
