"""Reasoning: shown to the client, and its proofs back at their maker byte for byte."""

import anthropic
import openai
import pytest

import expect
from recordings import CUTS, OPENAI, Recording, joined_anthropic, recording
from upstream import Upstream

THINKING = recording("anthropic/anthropic-messages/test-anthropic-opus-5-features-0-99c67e")
THINKING_STREAM = recording("anthropic/anthropic-messages/opus-4-7-messages-adaptive-thinking-streaming-smoke-1-123eac")
REDACTED = recording("anthropic/anthropic-messages/messages-thinking-redacted-thinking-roundtrip-nonstreaming-1-6a4cb9")
REDACTED_STREAM = recording("anthropic/anthropic-messages/model-thinking-part-redacted-stream-0-421e25")
WHOLE = [THINKING, REDACTED]
STREAMED = [THINKING_STREAM, REDACTED_STREAM]
BEFORE_TOOLS = recording("anthropic/anthropic-messages/authored-thinking-before-tools")
BEFORE_TOOLS_STREAM = recording("anthropic/anthropic-messages/authored-stream-thinking-before-tools")
XAI = recording("xai/openai-chat/xai-text-0-53e710")
XAI_STREAM = recording("xai/openai-chat/xai-tool-call-0-56f43a")
NEXT = recording("anthropic/anthropic-messages/test-extra-headers-0-f0c430")

QUESTION = [{"role": "user", "content": "What is 2+2?"}]
MORE = {"role": "user", "content": "And 3+3?"}
ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def blocks_of(recorded: Recording) -> list[dict]:
    """The content of a recorded message, as it must come back to its maker."""
    body = joined_anthropic(recorded.payloads) if recorded.stream else recorded.json
    return body["content"]


def check_returned(upstream: Upstream, recorded: Recording) -> None:
    """The second request brings the assistant's turn back with every block as it was."""
    user, assistant, more = upstream.requests[1].json["messages"]
    assert [turn["role"] for turn in (user, assistant, more)] == ["user", "assistant", "user"]
    sent = [{name: value for name, value in block.items() if value is not None} for block in assistant["content"]]
    assert sent == blocks_of(recorded)


@pytest.mark.parametrize("recorded", WHOLE, ids=str)
def test_an_anthropic_client_brings_thinking_back_unchanged(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, recorded: Recording
) -> None:
    upstream.answer(recorded.answer(), NEXT.answer())
    first = anthropic_client.messages.create(model="an-adaptive", max_tokens=4096, messages=QUESTION, thinking=ADAPTIVE)
    assert [block.type for block in first.content] == [block["type"] for block in blocks_of(recorded)]
    expect.anthropic_usage(first.usage, recorded.facts.usage)
    anthropic_client.messages.create(
        model="an-adaptive",
        max_tokens=4096,
        messages=[*QUESTION, {"role": "assistant", "content": first.content}, MORE],
        thinking=ADAPTIVE,
    )
    assert upstream.requests[0].json["thinking"] == ADAPTIVE
    check_returned(upstream, recorded)


@pytest.mark.parametrize("recorded", STREAMED, ids=str)
@pytest.mark.parametrize("cut", CUTS)
def test_an_anthropic_client_brings_streamed_thinking_back_unchanged(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, recorded: Recording, cut: str
) -> None:
    upstream.answer(recorded.answer(cut), NEXT.answer())
    with anthropic_client.messages.stream(
        model="an-adaptive", max_tokens=4096, messages=QUESTION, thinking=ADAPTIVE
    ) as stream:
        first = stream.get_final_message()
    anthropic_client.messages.create(
        model="an-adaptive",
        max_tokens=4096,
        messages=[*QUESTION, {"role": "assistant", "content": first.content}, MORE],
        thinking=ADAPTIVE,
    )
    check_returned(upstream, recorded)


@pytest.mark.parametrize("recorded", WHOLE, ids=str)
def test_an_openai_client_brings_thinking_back_unchanged(
    openai_client: openai.OpenAI, upstream: Upstream, recorded: Recording
) -> None:
    upstream.answer(recorded.answer(), NEXT.answer())
    first = openai_client.chat.completions.create(model="an-adaptive", messages=QUESTION, reasoning_effort="high")
    message = first.choices[0].message
    assert message.content == recorded.facts.text
    assert (getattr(message, "reasoning_content", None) or "") == recorded.facts.reasoning
    expect.openai_usage(first.usage, recorded.facts.usage)
    openai_client.chat.completions.create(
        model="an-adaptive", messages=[*QUESTION, message, MORE], reasoning_effort="high"
    )
    check_returned(upstream, recorded)


@pytest.mark.parametrize("recorded", STREAMED, ids=str)
@pytest.mark.parametrize("cut", CUTS)
def test_an_openai_client_brings_streamed_thinking_back_unchanged(
    openai_client: openai.OpenAI, upstream: Upstream, recorded: Recording, cut: str
) -> None:
    upstream.answer(recorded.answer(cut), NEXT.answer())
    with openai_client.chat.completions.stream(
        model="an-adaptive", messages=QUESTION, reasoning_effort="high", stream_options={"include_usage": True}
    ) as stream:
        first = stream.get_final_completion()
    message = first.choices[0].message
    assert message.content == recorded.facts.text
    assert (getattr(message, "reasoning_content", None) or "") == recorded.facts.reasoning
    expect.openai_usage(first.usage, recorded.facts.usage)
    openai_client.chat.completions.create(
        model="an-adaptive", messages=[*QUESTION, message.to_dict(), MORE], reasoning_effort="high"
    )
    check_returned(upstream, recorded)


@pytest.mark.parametrize("cut", [None, *CUTS], ids=str)
def test_an_openai_client_goes_on_with_its_tools_after_thinking(
    openai_client: openai.OpenAI, upstream: Upstream, cut: str | None
) -> None:
    recorded = BEFORE_TOOLS if cut is None else BEFORE_TOOLS_STREAM
    upstream.answer(recorded.answer(cut or "whole"), NEXT.answer())
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    asked = {"model": "an-adaptive", "messages": QUESTION, "tools": tools, "reasoning_effort": "high"}
    if cut is None:
        first = openai_client.chat.completions.create(**asked)
    else:
        with openai_client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            first = stream.get_final_completion()
    expect.completion(first, recorded.facts)
    expect.openai_usage(first.usage, recorded.facts.usage)
    message = first.choices[0].message
    assert message.reasoning_content == recorded.facts.reasoning
    results = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in message.tool_calls]
    openai_client.chat.completions.create(**asked | {"messages": [*QUESTION, message.to_dict(), *results]})
    _, assistant, answer = upstream.requests[1].json["messages"]
    assert assistant == {"role": "assistant", "content": blocks_of(recorded)}
    assert [(block["type"], block["tool_use_id"]) for block in answer["content"]] == [
        ("tool_result", "toolu_01AuthoredZurich"),
        ("tool_result", "toolu_01AuthoredBern"),
    ]


def test_effort_asks_an_adaptive_model_to_think(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(THINKING.answer())
    openai_client.chat.completions.create(model="an-adaptive", messages=QUESTION, reasoning_effort="high")
    body = upstream.only_request.json
    assert body["output_config"]["effort"] == "high"
    assert body["thinking"]["type"] == "adaptive"


def test_effort_gives_an_older_model_a_budget_below_its_limit(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(THINKING.answer())
    openai_client.chat.completions.create(
        model="an", messages=QUESTION, reasoning_effort="medium", max_completion_tokens=8000
    )
    body = upstream.only_request.json
    assert body["thinking"]["type"] == "enabled"
    assert 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]


def test_thinking_asks_openai_for_effort(anthropic_client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answer(XAI.answer())
    anthropic_client.messages.create(
        model="oa-reasoning", max_tokens=16000, messages=QUESTION, thinking={"type": "enabled", "budget_tokens": 4000}
    )
    body = upstream.only_request.json
    assert "thinking" not in body
    assert body["reasoning_effort"] == "medium"


def test_an_anthropic_client_sees_the_reasoning_of_an_openai_provider(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(XAI.answer())
    answer = anthropic_client.messages.create(model="oa", max_tokens=100, messages=QUESTION)
    thinking, text = answer.content
    assert (thinking.type, thinking.thinking) == ("thinking", XAI.facts.reasoning)
    assert (text.type, text.text) == ("text", "Hello")
    expect.anthropic_usage(answer.usage, XAI.facts.usage)


@pytest.mark.parametrize("cut", CUTS)
def test_an_anthropic_client_sees_the_streamed_reasoning_of_an_openai_provider(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, cut: str
) -> None:
    upstream.answer(XAI_STREAM.answer(cut))
    with anthropic_client.messages.stream(model="oa", max_tokens=100, messages=QUESTION) as stream:
        answer = stream.get_final_message()
    assert [block.type for block in answer.content] == ["thinking", "tool_use"]
    assert answer.content[0].thinking == XAI_STREAM.facts.reasoning


def test_a_signature_is_not_shown_to_another_maker(anthropic_client: anthropic.Anthropic, upstream: Upstream) -> None:
    assert XAI.dialect == OPENAI
    upstream.answer(XAI.answer())
    anthropic_client.messages.create(
        model="oa",
        max_tokens=100,
        messages=[*QUESTION, {"role": "assistant", "content": blocks_of(THINKING)}, MORE],
    )
    sent = upstream.only_request.body.decode()
    assert THINKING.facts.signatures[0] not in sent
    assert THINKING.facts.reasoning not in sent
    assert "2 + 2 = 4" in sent
