"""A client that leaves: the provider must not go on working for nobody."""

import anthropic
import openai
import pytest

from recordings import Recording, recording
from upstream import PATIENCE_S, Answer, End, Upstream

QUESTION = [{"role": "user", "content": "hello"}]
RECORDED = {
    "oa": recording("openai/openai-chat/authored-stream-cut"),
    "an": recording("anthropic/anthropic-messages/test-sonnet-46-effort-without-thinking-0-159461"),
}

models = pytest.mark.parametrize("model", ["oa", "an"])


def beginning(recorded: Recording) -> Answer:
    """The beginning of an answer that then goes on for ever."""
    return recorded.answer(end=End.HANG, after=recorded.body.index(b"Hel") + 300 if b"Hel" in recorded.body else 1400)


@models
def test_closing_an_openai_stream_closes_the_connection_to_the_provider(
    openai_client: openai.OpenAI, upstream: Upstream, model: str
) -> None:
    upstream.answer(beginning(RECORDED[model]))
    stream = openai_client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    assert next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert not upstream.only_request.closed.is_set()
    stream.close()
    assert upstream.only_request.closed.wait(PATIENCE_S)


@models
def test_closing_an_anthropic_stream_closes_the_connection_to_the_provider(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer(beginning(RECORDED[model]))
    stream = anthropic_client.messages.create(model=model, max_tokens=100, messages=QUESTION, stream=True)
    assert next(event for event in stream if event.type == "content_block_delta")
    assert not upstream.only_request.closed.is_set()
    stream.close()
    assert upstream.only_request.closed.wait(PATIENCE_S)


@models
def test_giving_up_before_the_answer_closes_the_connection_to_the_provider(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer_with(lambda _: Answer(end=End.HANG, silent=True))
    with pytest.raises(openai.APITimeoutError):
        openai_client.with_options(timeout=0.2).chat.completions.create(model=model, messages=QUESTION)
    assert upstream.wait_for_request(0).closed.wait(PATIENCE_S)
    with pytest.raises(anthropic.APITimeoutError):
        anthropic_client.with_options(timeout=0.2).messages.create(model=model, max_tokens=10, messages=QUESTION)
    assert upstream.wait_for_request(1).closed.wait(PATIENCE_S)
