"""Models that will not answer."""

import anthropic
import openai
import pytest

import expect
from recordings import CUTS, recording
from upstream import Upstream

OPENAI_REFUSAL = recording("openai/openai-chat/test-async-parsed-refused-completion-0-f9dc2f")
OPENAI_REFUSAL_STREAM = recording("openai/openai-chat/refusal-matrix-chat-streaming-agent-surfaces-refusal-0-bd6455")
ANTHROPIC_REFUSAL = recording("anthropic/anthropic-messages/anthropic-refusal-0-49b035")
QUESTION = [{"role": "user", "content": "Tell me how to break in."}]


def test_a_refusal_of_openai_is_a_refusal_for_an_openai_client(
    openai_client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_REFUSAL.answer())
    message = openai_client.chat.completions.create(model="oa", messages=QUESTION).choices[0].message
    assert message.refusal == "I'm very sorry, but I can't assist with that request."
    assert message.content is None


def test_a_refusal_of_anthropic_is_a_refusal_for_an_anthropic_client(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(ANTHROPIC_REFUSAL.answer())
    answer = anthropic_client.messages.create(model="an", max_tokens=100, messages=QUESTION)
    assert answer.stop_reason == "refusal"
    assert answer.stop_details.category == "cyber"


def test_a_refusal_of_anthropic_is_filtered_content_for_an_openai_client(
    openai_client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.answer(ANTHROPIC_REFUSAL.answer())
    answer = openai_client.chat.completions.create(model="an", messages=QUESTION)
    assert answer.choices[0].finish_reason == "content_filter"
    assert not answer.choices[0].message.content
    expect.openai_usage(answer.usage, ANTHROPIC_REFUSAL.facts.usage)


def test_a_refusal_of_openai_is_told_to_an_anthropic_client(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_REFUSAL.answer())
    answer = anthropic_client.messages.create(model="oa", max_tokens=100, messages=QUESTION)
    assert answer.stop_reason == "refusal"
    assert [block.text for block in answer.content] == ["I'm very sorry, but I can't assist with that request."]


@pytest.mark.parametrize("cut", CUTS)
def test_a_streamed_refusal_of_openai_reaches_both_clients(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, cut: str
) -> None:
    upstream.answer(OPENAI_REFUSAL_STREAM.answer(cut), OPENAI_REFUSAL_STREAM.answer(cut))
    with openai_client.chat.completions.stream(model="oa", messages=QUESTION) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.refusal == OPENAI_REFUSAL_STREAM.facts.refusal
    with anthropic_client.messages.stream(model="oa", max_tokens=100, messages=QUESTION) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "refusal"
    assert [block.text for block in message.content] == [OPENAI_REFUSAL_STREAM.facts.refusal]
