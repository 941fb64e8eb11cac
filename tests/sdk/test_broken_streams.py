"""Streams that go wrong after they have begun: the client must hear of it, never take the answer for complete."""

import anthropic
import openai
import pytest

from recordings import CUTS, Recording, recording
from upstream import Answer, End, Upstream, stream_answer

QUESTION = [{"role": "user", "content": "hello"}]
TEXT = {
    "oa": recording("openai/openai-chat/chat-history-roundtrip-matrix-streaming-gpt-4-1-mini-normalized-text-0-fa37ad"),
    "an": recording("anthropic/anthropic-messages/test-sonnet-46-effort-without-thinking-0-159461"),
}
ERROR_MIDWAY = {
    "oa": recording("openai/openai-chat/authored-stream-error-midway"),
    "an": recording("anthropic/anthropic-messages/authored-stream-overloaded-midway"),
}
CUT = {
    "oa": recording("openai/openai-chat/authored-stream-cut"),
    "an": recording("anthropic/anthropic-messages/authored-stream-cut"),
}

models = pytest.mark.parametrize("model", ["oa", "an"])
cuts = pytest.mark.parametrize("cut", CUTS)
ends = pytest.mark.parametrize("end", [End.COMPLETE, End.FIN, End.RST], ids=["complete", "closed", "reset"])


def read_openai(client: openai.OpenAI, model: str) -> tuple[str, openai.APIError]:
    """Reads a stream that must fail; gives the text before and the error."""
    text = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(model=model, messages=QUESTION, stream=True):
            text += (chunk.choices and chunk.choices[0].delta.content) or ""
            assert not (chunk.choices and chunk.choices[0].finish_reason), "the answer looked finished"
    return text, caught.value


def read_anthropic(client: anthropic.Anthropic, model: str) -> tuple[str, anthropic.APIError]:
    """Reads a stream that must fail; gives the text before and the error."""
    text = ""
    with pytest.raises(anthropic.APIError) as caught:
        for event in client.messages.create(model=model, max_tokens=100, messages=QUESTION, stream=True):
            assert event.type not in ("message_delta", "message_stop"), "the answer looked finished"
            text += event.delta.text if event.type == "content_block_delta" else ""
    return text, caught.value


@models
@cuts
def test_an_error_in_the_middle_raises_in_the_openai_sdk(
    openai_client: openai.OpenAI, upstream: Upstream, model: str, cut: str
) -> None:
    upstream.answer(ERROR_MIDWAY[model].answer(cut))
    text, error = read_openai(openai_client, model)
    # The content before it counts, also where both have come together: the stream has begun, and ends with an error.
    assert text == "Hel"
    assert not isinstance(error, openai.APIStatusError)
    assert error.body["message"] == told(ERROR_MIDWAY[model])
    assert error.type == "server_error"


@models
@cuts
def test_an_error_in_the_middle_raises_in_the_anthropic_sdk(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str, cut: str
) -> None:
    upstream.answer(ERROR_MIDWAY[model].answer(cut))
    text, error = read_anthropic(anthropic_client, model)
    assert text == "Hel"
    assert error.body["type"] == "error"
    assert error.body["error"]["type"] == {"oa": "api_error", "an": "overloaded_error"}[model]
    assert error.body["error"]["message"] == told(ERROR_MIDWAY[model])


def told(recorded: Recording) -> str:
    return recorded.payloads[-1]["error"]["message"]


@models
@ends
def test_a_cut_stream_raises_in_both_sdks(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str, end: End
) -> None:
    upstream.answer(CUT[model].answer(end=end), CUT[model].answer(end=end))
    text, _ = read_openai(openai_client, model)
    # After a reset the gateway may not have seen the last bytes.
    assert text == "Hel" or end is End.RST or model == "an"
    text, _ = read_anthropic(anthropic_client, model)
    assert text == "Hel" or end is End.RST or model == "an"


@models
def test_a_stream_cut_anywhere_before_its_end_raises_in_both_sdks(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    recorded = TEXT[model]
    # Without the finish reason the answer is not complete; behind it a missing end mark would be forgiven.
    finish = recorded.body.index({"oa": b'"finish_reason":"stop"', "an": b'"stop_reason":"end_turn"'}[model])
    for after in range(0, finish, 97):
        answer = recorded.answer("whole", End.FIN, after)
        upstream.answer(answer, answer)
        text, _ = read_openai(openai_client, model)
        assert recorded.facts.text.startswith(text)
        text, _ = read_anthropic(anthropic_client, model)
        assert recorded.facts.text.startswith(text)


@models
def test_the_accumulators_do_not_take_a_cut_stream_for_complete(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer(CUT[model].answer(end=End.FIN), CUT[model].answer(end=End.FIN))
    with (
        pytest.raises(openai.APIError),
        openai_client.chat.completions.stream(model=model, messages=QUESTION) as stream,
    ):
        stream.get_final_completion()
    with (
        pytest.raises(anthropic.APIError),
        anthropic_client.messages.stream(model=model, max_tokens=100, messages=QUESTION) as stream,
    ):
        stream.get_final_message()


@models
def test_an_empty_stream_raises_in_both_sdks(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer(stream_answer([]), stream_answer([]))
    with pytest.raises(openai.InternalServerError) as caught_by_openai:
        openai_client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    with pytest.raises(anthropic.InternalServerError) as caught_by_anthropic:
        anthropic_client.messages.create(model=model, max_tokens=100, messages=QUESTION, stream=True)
    assert caught_by_openai.value.status_code == caught_by_anthropic.value.status_code == 502


@models
def test_garbage_instead_of_events_raises_in_both_sdks(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    garbage = stream_answer([b"data: <html>Bad gateway</html>\n\n"])
    upstream.answer(garbage, garbage)
    with pytest.raises(openai.InternalServerError):
        openai_client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    with pytest.raises(anthropic.InternalServerError):
        anthropic_client.messages.create(model=model, max_tokens=100, messages=QUESTION, stream=True)


def without_end_mark(model: str) -> Answer:
    """A stream that tells why the model stopped, and then lacks the mark of its end."""
    recorded = TEXT[model]
    return recorded.answer(
        "whole", after=recorded.body.index({"oa": b"data: [DONE]", "an": b"event: message_stop"}[model])
    )


def test_an_openai_stream_is_complete_without_its_end_mark_when_the_model_has_finished(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    # Several providers of this dialect never send the mark.
    upstream.answer(without_end_mark("oa"), without_end_mark("oa"))
    chunks = list(openai_client.chat.completions.create(model="oa", messages=QUESTION, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    events = list(anthropic_client.messages.create(model="oa", max_tokens=100, messages=QUESTION, stream=True))
    assert [event.delta.stop_reason for event in events if event.type == "message_delta"] == ["end_turn"]
    assert events[-1].type == "message_stop"


def test_an_anthropic_stream_is_cut_without_its_end_mark(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(without_end_mark("an"), without_end_mark("an"))
    with pytest.raises(openai.APIError):
        list(openai_client.chat.completions.create(model="an", messages=QUESTION, stream=True))
    with pytest.raises(anthropic.APIError):
        list(anthropic_client.messages.create(model="an", max_tokens=100, messages=QUESTION, stream=True))
