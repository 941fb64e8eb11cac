"""What a client must see of a recorded answer, whichever dialect it was recorded in."""

import json

from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.completion_usage import CompletionUsage

from recordings import Facts, Usage

#: Stop reasons of the other dialect.
TO_OPENAI = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "stop",
}
TO_ANTHROPIC = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def openai_usage(seen: CompletionUsage | None, expected: Usage) -> None:
    """OpenAI counts what was read from and written to a cache as input."""
    assert seen is not None, "there is no usage"
    assert seen.prompt_tokens == expected.input_total
    assert seen.completion_tokens == expected.output
    assert seen.total_tokens == expected.input_total + expected.output
    inputs, outputs = seen.prompt_tokens_details, seen.completion_tokens_details
    assert ((inputs and inputs.cached_tokens) or 0) == expected.read
    assert ((inputs and getattr(inputs, "cache_write_tokens", None)) or 0) == expected.written
    assert ((outputs and outputs.reasoning_tokens) or 0) == expected.reasoning


def anthropic_usage(seen: object, expected: Usage) -> None:
    """Anthropic counts input without what was read from and written to a cache."""
    assert seen.input_tokens == expected.fresh
    assert (seen.cache_read_input_tokens or 0) == expected.read
    assert (seen.cache_creation_input_tokens or 0) == expected.written
    assert seen.output_tokens == expected.output
    details = seen.output_tokens_details
    assert ((details and details.thinking_tokens) or 0) == expected.reasoning


def completion(seen: ChatCompletion, expected: Facts) -> None:
    """A whole chat completion says what was recorded."""
    assert len(seen.choices) == 1
    message = seen.choices[0].message
    assert (message.content or "") == expected.text
    calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or []]
    assert calls == [(call.id, call.name, call.value) for call in expected.calls]
    assert seen.choices[0].finish_reason == TO_OPENAI.get(expected.stop, expected.stop)


def message(seen: Message, expected: Facts) -> None:
    """A whole message says what was recorded."""
    assert "".join(block.text for block in seen.content if block.type == "text") == (expected.text or expected.refusal)
    calls = [(block.id, block.name, block.input) for block in seen.content if block.type == "tool_use"]
    assert calls == [(call.id, call.name, call.value) for call in expected.calls]
    assert seen.stop_reason == TO_ANTHROPIC.get(expected.stop, expected.stop)
