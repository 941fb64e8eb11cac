"""A client that leaves: the provider must not go on working for nobody."""

import asyncio
from collections.abc import Awaitable, Callable

import anthropic
import openai
import pytest

from conftest import CLIENT_KEY
from gateway import Gateway
from recordings import recording
from upstream import PATIENCE_S, Answer, End, Upstream

QUESTION = [{"role": "user", "content": "hello"}]
TEXT = {
    "oa": recording("openai/openai-chat/chat-history-roundtrip-matrix-streaming-gpt-4-1-mini-normalized-text-0-fa37ad"),
    "an": recording("anthropic/anthropic-messages/test-sonnet-46-effort-without-thinking-0-159461"),
}

models = pytest.mark.parametrize("model", ["oa", "an"])


def beginning(model: str) -> Answer:
    """An answer that stops behind its first word and stays open."""
    answer = TEXT[model].answer(end=End.HANG)
    answer.pieces = answer.pieces[: {"oa": 2, "an": 4}[model]]
    return answer


@models
def test_closing_an_openai_stream_closes_the_connection_to_the_provider(
    openai_client: openai.OpenAI, upstream: Upstream, model: str
) -> None:
    upstream.answer(beginning(model))
    stream = openai_client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    assert next(chunk for chunk in stream if chunk.choices[0].delta.content)
    assert not upstream.only_request.closed.is_set()
    stream.close()
    assert upstream.only_request.closed.wait(PATIENCE_S)


@models
def test_closing_an_anthropic_stream_closes_the_connection_to_the_provider(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer(beginning(model))
    stream = anthropic_client.messages.create(model=model, max_tokens=100, messages=QUESTION, stream=True)
    assert next(event for event in stream if event.type == "content_block_delta")
    assert not upstream.only_request.closed.is_set()
    stream.close()
    assert upstream.only_request.closed.wait(PATIENCE_S)


@models
def test_cancelling_a_call_before_its_answer_closes_the_connection_to_the_provider(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    async def cancelled(call: Callable[[], Awaitable[object]], number: int) -> None:
        task = asyncio.ensure_future(call())
        received = await asyncio.to_thread(upstream.wait_for_request, number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(received.closed.wait, PATIENCE_S)

    async def both() -> None:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=CLIENT_KEY, max_retries=0) as client:
            await cancelled(lambda: client.chat.completions.create(model=model, messages=QUESTION), 0)
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=0) as client:
            await cancelled(lambda: client.messages.create(model=model, max_tokens=10, messages=QUESTION), 1)

    upstream.answer_with(lambda _: Answer(end=End.HANG, silent=True))
    asyncio.run(both())
