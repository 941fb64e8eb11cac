"""Every recorded answer of the big collection, translated for a client of the other dialect, must be what the SDKs' own
types say, strictly: an SDK builds its objects without checking, so an application would find a wrong type much later.
"""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, TypeAdapter, ValidationError

import expect
from recordings import ANTHROPIC, OPENAI, Recording, all_recordings, collection
from upstream import Received, Upstream

AT_A_TIME = 8

ANTHROPIC_EVENT = TypeAdapter(RawMessageStreamEvent)


@pytest.fixture
def everything(upstream: Upstream) -> Callable[[str], list[Recording]]:
    """Lets the provider answer each request with the recording that its text names, and gives the recordings."""
    by_id: dict[str, Recording] = {}

    def answer(received: Received):
        name = re.search(rb"recording:([^\"\\]+)", received.body)
        assert name is not None
        return by_id[name[1].decode()].answer()

    def load(dialect: str) -> list[Recording]:
        if collection() is None:
            pytest.skip("the collection of recordings is not here; set TOLLGATE_FIXTURES to run this")
        recordings = all_recordings(dialect)
        assert len(recordings) > 50, "the collection is not complete"
        by_id.update((recorded.id, recorded) for recorded in recordings)
        return recordings

    upstream.answer_with(answer)
    return load


def check_all(recordings: list[Recording], check: Callable[[Recording], None]) -> None:
    """Checks all, and tells of all that are wrong."""

    def problem_with(recorded: Recording) -> str | None:
        try:
            check(recorded)
        except (
            AssertionError,
            ValidationError,
            openai.OpenAIError,
            anthropic.AnthropicError,
            ValueError,
            KeyError,
        ) as error:
            return f"{recorded.id}: {type(error).__name__}: {error}"
        return None

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        problems = [problem for problem in threads.map(problem_with, recordings) if problem]
    assert not problems, f"{len(problems)} of {len(recordings)} recordings are wrong:\n\n" + "\n\n".join(problems)


def good(recordings: list[Recording], *, stream: bool) -> list[Recording]:
    """The recordings that are complete answers."""
    return [
        recorded
        for recorded in recordings
        if recorded.stream == stream and recorded.status == 200 and is_answer(recorded)
    ]


def is_answer(recorded: Recording) -> bool:
    features = recorded.meta["features"]
    if "stream.cut" in features or "stream.error-event" in features:
        return False
    if "resp.multi-candidate" in features:
        # Only OpenAI's clients can ask for several answers.
        return False
    if recorded.stream:
        starts = [payload for payload in recorded.payloads if payload.get("type") == "message_start"]
        # One recording holds the answers of several turns one after the other.
        return len(starts) < 2 and not any("error" in payload for payload in recorded.payloads)
    return "error" not in recorded.json


def question(recorded: Recording) -> list[dict]:
    return [{"role": "user", "content": f"recording:{recorded.id}"}]


def strictly(model: type[BaseModel], body: object) -> None:
    """Validates a document against a type of an SDK, without conversions such as from "1" to 1."""
    TypeAdapter(model).validate_json(json.dumps(body), strict=True)


def test_whole_answers_of_openai_providers_are_messages(
    anthropic_client: anthropic.Anthropic, everything: Callable[[str], list[Recording]]
) -> None:
    def check(recorded: Recording) -> None:
        raw = anthropic_client.messages.with_raw_response.create(
            model="oa", max_tokens=100, messages=question(recorded)
        )
        strictly(Message, json.loads(raw.http_response.content))
        check_content_of_message(recorded, raw.parse())

    check_all(good(everything(OPENAI), stream=False), check)


def test_whole_answers_of_anthropic_are_chat_completions(
    openai_client: openai.OpenAI, everything: Callable[[str], list[Recording]]
) -> None:
    def check(recorded: Recording) -> None:
        raw = openai_client.chat.completions.with_raw_response.create(model="an-adaptive", messages=question(recorded))
        strictly(ChatCompletion, json.loads(raw.http_response.content))
        check_content_of_completion(recorded, raw.parse())

    check_all(good(everything(ANTHROPIC), stream=False), check)


def test_streams_of_openai_providers_are_message_events(
    anthropic_client: anthropic.Anthropic, everything: Callable[[str], list[Recording]]
) -> None:
    def check(recorded: Recording) -> None:
        with anthropic_client.messages.with_streaming_response.create(
            model="oa", max_tokens=100, messages=question(recorded), stream=True
        ) as response:
            events = list(events_of(response.iter_bytes()))
        for name, data in events:
            assert name == json.loads(data)["type"], "the name of an event is not its type"
            if name != "ping":
                ANTHROPIC_EVENT.validate_json(data, strict=True)
        check_order([json.loads(data) for name, data in events if name != "ping"])
        with anthropic_client.messages.stream(model="oa", max_tokens=100, messages=question(recorded)) as stream:
            check_content_of_message(recorded, stream.get_final_message())

    check_all(good(everything(OPENAI), stream=True), check)


def test_streams_of_anthropic_are_chunks(
    openai_client: openai.OpenAI, everything: Callable[[str], list[Recording]]
) -> None:
    def check(recorded: Recording) -> None:
        asked = {"model": "an-adaptive", "messages": question(recorded), "stream_options": {"include_usage": True}}
        with openai_client.chat.completions.with_streaming_response.create(stream=True, **asked) as response:
            events = list(events_of(response.iter_bytes()))
        assert events[-1] == (None, "[DONE]")
        for name, data in events[:-1]:
            assert name is None
            strictly(ChatCompletionChunk, json.loads(data))
        with openai_client.chat.completions.stream(**asked) as stream:
            try:
                final = stream.get_final_completion()
            except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                # That is how this helper tells the application.
                assert recorded.facts.stop in ("max_tokens", "model_context_window_exceeded", "refusal")
                return
        check_content_of_completion(recorded, final)

    check_all(good(everything(ANTHROPIC), stream=True), check)


@pytest.mark.parametrize(("dialect", "model"), [(OPENAI, "oa"), (ANTHROPIC, "an")])
def test_every_stream_passes_unchanged_in_its_own_dialect(
    openai_client: openai.OpenAI,
    anthropic_client: anthropic.Anthropic,
    everything: Callable[[str], list[Recording]],
    dialect: str,
    model: str,
) -> None:
    def check(recorded: Recording) -> None:
        if dialect == OPENAI:
            asked = openai_client.chat.completions.with_streaming_response.create(
                model=model, messages=question(recorded), stream=True, stream_options={"include_usage": True}
            )
        else:
            asked = anthropic_client.messages.with_streaming_response.create(
                model=model, max_tokens=100, messages=question(recorded), stream=True
            )
        with asked as response:
            assert b"".join(response.iter_bytes()) == recorded.body

    check_all(good(everything(dialect), stream=True), check)


def events_of(body: Iterator[bytes]) -> Iterator[tuple[str | None, str]]:
    """Name and data of each event."""
    for event in b"".join(body).decode().split("\n\n"):
        lines = [line for line in event.split("\n") if line and not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            assert set(fields) <= {"event", "data"}
            yield fields.get("event"), fields["data"]


def check_order(events: list[dict]) -> None:
    """Blocks one after the other inside of one message."""
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    opened = 0
    current = None
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert current is None, "a block starts while another is open"
            assert event["index"] == opened
            current, opened = opened, opened + 1
        else:
            assert event["type"] in ("content_block_delta", "content_block_stop")
            assert event["index"] == current
            current = None if event["type"] == "content_block_stop" else current
    assert current is None


def check_content_of_message(recorded: Recording, seen: Message) -> None:
    """Text, calls and token counts are the recorded ones."""
    facts = recorded.facts
    assert "".join(block.text for block in seen.content if block.type == "text") == facts.text + facts.refusal
    calls = [(block.name, block.input) for block in seen.content if block.type == "tool_use"]
    whole = [call for call in facts.calls if call.complete]
    assert calls[: len(whole)] == [(call.name, call.value) for call in whole]
    # A call that was cut may show, in a stream, only in an answer that says so.
    assert len(calls) == len(whole) or (len(calls) == len(facts.calls) and seen.stop_reason == "max_tokens")
    if facts.usage is not None:
        expect.anthropic_usage(seen.usage, facts.usage)


def check_content_of_completion(recorded: Recording, seen: ChatCompletion) -> None:
    """Text, calls and token counts are the recorded ones."""
    facts = recorded.facts
    message = seen.choices[0].message
    assert (message.content or "") == facts.text
    calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
    assert calls == [(call.id, call.name, call.value) for call in facts.calls]
    assert seen.choices[0].finish_reason == expect.TO_OPENAI[facts.stop]
    if facts.usage is not None:
        expect.openai_usage(seen.usage, facts.usage)
