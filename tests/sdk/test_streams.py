"""Streamed text: the SDKs' own accumulators must come to the recorded answer, however the stream is cut."""

import anthropic
import openai
import pytest

import expect
from recordings import CUTS, recording
from upstream import Upstream

OPENAI_TEXT = recording(
    "openai/openai-chat/chat-history-roundtrip-matrix-streaming-gpt-4-1-mini-normalized-text-0-fa37ad"
)
ANTHROPIC_TEXT = recording("anthropic/anthropic-messages/test-sonnet-46-effort-without-thinking-0-159461")
RECORDED = {"oa": OPENAI_TEXT, "an": ANTHROPIC_TEXT}
QUESTION = [{"role": "user", "content": "hello"}]

pairs = pytest.mark.parametrize(("model", "cut"), [(model, cut) for model in RECORDED for cut in CUTS])


@pairs
def test_the_openai_accumulator_comes_to_the_recorded_answer(
    openai_client: openai.OpenAI, upstream: Upstream, model: str, cut: str
) -> None:
    recorded = RECORDED[model]
    upstream.answer(recorded.answer(cut))
    with openai_client.chat.completions.stream(
        model=model, messages=QUESTION, stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    expect.completion(final, recorded.facts)
    expect.openai_usage(final.usage, recorded.facts.usage)
    assert kinds.count("content.done") == 1
    assert kinds.index("content.delta") < kinds.index("content.done")


@pairs
def test_the_anthropic_accumulator_comes_to_the_recorded_answer(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str, cut: str
) -> None:
    recorded = RECORDED[model]
    upstream.answer(recorded.answer(cut))
    with anthropic_client.messages.stream(model=model, max_tokens=100, messages=QUESTION) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    expect.message(final, recorded.facts)
    expect.anthropic_usage(final.usage, recorded.facts.usage)
    wire = [kind for kind in kinds if kind != "text"]
    deltas = wire.count("content_block_delta")
    assert wire == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * deltas,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert deltas > 1


@pytest.mark.parametrize("model", RECORDED)
def test_a_stream_comes_in_the_pieces_the_model_made(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer(RECORDED[model].answer(), RECORDED[model].answer())
    chunks = openai_client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    openai_pieces = [
        chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content
    ]
    with anthropic_client.messages.stream(model=model, max_tokens=100, messages=QUESTION) as stream:
        anthropic_pieces = list(stream.text_stream)
    expected = {"oa": ["lan", "tern", "-", "42"], "an": ["**", "Pete", "** and", " **Sc", "oop", "**"]}[model]
    assert openai_pieces == expected
    assert anthropic_pieces == expected


@pytest.mark.parametrize("model", RECORDED)
@pytest.mark.parametrize("options", [None, {"include_usage": False}], ids=["unset", "false"])
def test_usage_stays_hidden_from_an_openai_client_that_did_not_ask(
    openai_client: openai.OpenAI, upstream: Upstream, model: str, options: dict | None
) -> None:
    upstream.answer(RECORDED[model].answer())
    more = {} if options is None else {"stream_options": options}
    chunks = list(openai_client.chat.completions.create(model=model, messages=QUESTION, stream=True, **more))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", RECORDED)
def test_usage_is_the_last_chunk_for_an_openai_client_that_asked(
    openai_client: openai.OpenAI, upstream: Upstream, model: str
) -> None:
    upstream.answer(RECORDED[model].answer())
    chunks = list(
        openai_client.chat.completions.create(
            model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    expect.openai_usage(chunks[-1].usage, RECORDED[model].facts.usage)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_openai_is_always_asked_for_usage(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_TEXT.answer(), OPENAI_TEXT.answer())
    list(openai_client.chat.completions.create(model="oa", messages=QUESTION, stream=True))
    with anthropic_client.messages.stream(model="oa", max_tokens=100, messages=QUESTION) as stream:
        stream.until_done()
    for received in upstream.requests:
        assert received.json["stream"] is True
        assert received.json["stream_options"] == {"include_usage": True}


def test_an_openai_stream_passes_byte_for_byte_to_an_openai_client(
    openai_client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_TEXT.answer())
    with openai_client.chat.completions.with_streaming_response.create(
        model="oa", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    ) as response:
        assert b"".join(response.iter_bytes()) == OPENAI_TEXT.body


def test_an_anthropic_stream_passes_byte_for_byte_to_an_anthropic_client(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(ANTHROPIC_TEXT.answer())
    with anthropic_client.messages.with_streaming_response.create(
        model="an", max_tokens=100, messages=QUESTION, stream=True
    ) as response:
        assert b"".join(response.iter_bytes()) == ANTHROPIC_TEXT.body


def test_all_chunks_of_a_translated_stream_name_the_same_answer(
    openai_client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.answer(ANTHROPIC_TEXT.answer())
    chunks = list(openai_client.chat.completions.create(model="an", messages=QUESTION, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].model == "claude-sonnet-4-6"
    assert chunks[0].choices[0].delta.role == "assistant"
