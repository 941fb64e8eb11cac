"""A question and a whole answer in text."""

import anthropic
import openai
import pytest

import expect
from recordings import Recording, recording
from upstream import Upstream

OPENAI_ANSWERS = [
    recording("openai/openai-chat/test-async-chat-completion-extra-params-0-43e87a"),
    recording("openai/openai-chat/testtokencounts.test-openai-0-da7e19"),
    recording("xai/openai-chat/xai-text-0-53e710"),
]
ANTHROPIC_ANSWERS = [
    recording("anthropic/anthropic-messages/test-extra-headers-0-f0c430"),
    recording("anthropic/anthropic-messages/anthropic-completion-cache-read-0-d10983"),
    recording("anthropic/anthropic-messages/empty-stop-sequence-matrix-agent-prompt-empty-stop-sequence-0-71dbde"),
]
QUESTION = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize("recorded", OPENAI_ANSWERS, ids=str)
def test_an_openai_client_gets_the_bytes_of_openai(
    openai_client: openai.OpenAI, upstream: Upstream, recorded: Recording
) -> None:
    upstream.answer(recorded.answer())
    answer = openai_client.chat.completions.with_raw_response.create(model="oa", messages=QUESTION)
    assert answer.http_response.content == recorded.body
    expect.completion(answer.parse(), recorded.facts)


@pytest.mark.parametrize("recorded", ANTHROPIC_ANSWERS, ids=str)
def test_an_openai_client_gets_the_answer_of_anthropic(
    openai_client: openai.OpenAI, upstream: Upstream, recorded: Recording
) -> None:
    upstream.answer(recorded.answer())
    answer = openai_client.chat.completions.create(model="an", messages=QUESTION)
    expect.completion(answer, recorded.facts)
    expect.openai_usage(answer.usage, recorded.facts.usage)
    assert answer.model == recorded.json["model"]
    assert answer.object == "chat.completion"
    assert answer.id
    assert answer.created > 0


@pytest.mark.parametrize("recorded", ANTHROPIC_ANSWERS, ids=str)
def test_an_anthropic_client_gets_the_bytes_of_anthropic(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, recorded: Recording
) -> None:
    upstream.answer(recorded.answer())
    answer = anthropic_client.messages.with_raw_response.create(model="an", max_tokens=100, messages=QUESTION)
    assert answer.http_response.content == recorded.body
    expect.message(answer.parse(), recorded.facts)
    expect.anthropic_usage(answer.parse().usage, recorded.facts.usage)


@pytest.mark.parametrize("recorded", OPENAI_ANSWERS, ids=str)
def test_an_anthropic_client_gets_the_answer_of_openai(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, recorded: Recording
) -> None:
    upstream.answer(recorded.answer())
    answer = anthropic_client.messages.create(model="oa", max_tokens=100, messages=QUESTION)
    expect.message(answer, recorded.facts)
    expect.anthropic_usage(answer.usage, recorded.facts.usage)
    assert answer.model == recorded.json["model"]
    assert (answer.type, answer.role) == ("message", "assistant")


def test_the_stop_sequence_that_was_met_is_told(anthropic_client: anthropic.Anthropic, upstream: Upstream) -> None:
    recorded = ANTHROPIC_ANSWERS[2]
    upstream.answer(recorded.answer())
    answer = anthropic_client.messages.create(model="an", max_tokens=32, messages=QUESTION, stop_sequences=["alpha"])
    assert answer.stop_sequence == "alpha"


def test_openai_receives_what_an_openai_client_sent(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(OPENAI_ANSWERS[0].answer())
    openai_client.chat.completions.create(
        model="oa",
        messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Grüße 🌍"}],
        temperature=0,
        seed=7,
        metadata={"team": "search"},
    )
    received = upstream.only_request
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.json == {
        "model": "gpt-4.1-mini",
        "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Grüße 🌍"}],
        "temperature": 0,
        "seed": 7,
        "metadata": {"team": "search"},
    }


def test_anthropic_receives_what_an_anthropic_client_sent(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(ANTHROPIC_ANSWERS[0].answer())
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    anthropic_client.messages.create(
        model="an",
        max_tokens=64,
        system=system,
        messages=QUESTION,
        metadata={"user_id": "u-1"},
        extra_headers={"anthropic-beta": "b-1"},
    )
    received = upstream.only_request
    assert (received.method, received.path) == ("POST", "/v1/messages")
    assert received.headers["anthropic-version"] == anthropic_client.default_headers["anthropic-version"]
    assert received.headers["anthropic-beta"] == "b-1"
    assert received.json == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 64,
        "system": system,
        "messages": QUESTION,
        "metadata": {"user_id": "u-1"},
    }


def test_anthropic_receives_the_translation_of_an_openai_request(
    openai_client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.answer(ANTHROPIC_ANSWERS[0].answer())
    openai_client.chat.completions.create(
        model="an",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One."},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": "Three?"},
        ],
        max_completion_tokens=77,
        stop=["END"],
    )
    received = upstream.only_request
    assert (received.method, received.path) == ("POST", "/v1/messages")
    assert received.headers["anthropic-version"] == "2023-06-01"
    body = received.json
    assert body["model"] == "claude-sonnet-4-5"
    assert body["max_tokens"] == 77
    assert body["stop_sequences"] == ["END"]
    assert plain(body["system"]) == "Be brief."
    assert [(turn["role"], plain(turn["content"])) for turn in body["messages"]] == [
        ("user", "One."),
        ("assistant", "Two."),
        ("user", "Three?"),
    ]


def test_openai_receives_the_translation_of_an_anthropic_request(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_ANSWERS[0].answer())
    anthropic_client.messages.create(
        model="oa",
        max_tokens=77,
        system="Be brief.",
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "One."}]},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": "Three?"},
        ],
        stop_sequences=["END"],
    )
    received = upstream.only_request
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert "anthropic-version" not in received.headers
    body = received.json
    assert body["model"] == "gpt-4.1-mini"
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 77
    assert body["stop"] in ("END", ["END"])
    assert [(turn["role"], plain(turn["content"])) for turn in body["messages"]] == [
        ("system", "Be brief."),
        ("user", "One."),
        ("assistant", "Two."),
        ("user", "Three?"),
    ]


@pytest.mark.parametrize("model", ["oa", "an"])
def test_the_clients_key_stays_at_the_gateway(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    recorded = OPENAI_ANSWERS[0] if model == "oa" else ANTHROPIC_ANSWERS[0]
    upstream.answer(recorded.answer(), recorded.answer())
    openai_client.chat.completions.create(model=model, messages=QUESTION)
    anthropic_client.messages.create(model=model, max_tokens=10, messages=QUESTION)
    for received in upstream.requests:
        if model == "oa":
            assert received.headers["authorization"] == "Bearer openai-upstream-key"
            assert "x-api-key" not in received.headers
        else:
            assert received.headers["x-api-key"] == "anthropic-upstream-key"
            assert "authorization" not in received.headers
        assert "client-key" not in str(received.headers)


def plain(content: object) -> str:
    """The text of a content, which may be a string or a list of blocks."""
    if isinstance(content, str):
        return content
    assert all(block["type"] == "text" for block in content)
    return "".join(block["text"] for block in content)
