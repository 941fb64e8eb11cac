"""Tool calls, and their results on the way back: nothing may be lost, renamed or rewritten."""

import json

import anthropic
import openai
import pytest
from jsonschema import Draft202012Validator

import expect
from recordings import CUTS, Recording, recording
from upstream import Upstream

OPENAI_CALL = recording("openai/openai-chat/test-oai-agents-with-guardrail-spans-0-de2655")
OPENAI_AFTER = recording("openai/openai-chat/test-oai-agents-with-guardrail-spans-1-b68cf8")
OPENAI_PARALLEL = recording("openai/openai-chat/test-tool-calls-0-8150e5")
OPENAI_STREAM = recording("openai/openai-chat/chat-tool-lifecycle-matrix-streaming-gpt41-parallel-agent-0-6dc8b8")
XAI_STREAM = recording("xai/openai-chat/xai-tool-call-0-56f43a")
ANTHROPIC_CALL = recording("anthropic/anthropic-messages/testtoolcallsinchatresponse.test-anthropic-0-53743a")
ANTHROPIC_AFTER = recording("anthropic/anthropic-messages/test-extra-headers-0-f0c430")
ANTHROPIC_PARALLEL = recording("anthropic/anthropic-messages/test-mixed-tools-native-output-0-d5a940")
ANTHROPIC_STREAM = recording(
    "anthropic/anthropic-messages/strict-schema-streaming-one-of-and-const-stream-with-specific-choice-0-76cdb6"
)
ANTHROPIC_UNICODE = recording("anthropic/anthropic-messages/authored-stream-split-partial-json-unicode")

CALLS = {"oa": OPENAI_CALL, "an": ANTHROPIC_CALL}
AFTER = {"oa": OPENAI_AFTER, "an": ANTHROPIC_AFTER}
PARALLEL = {"oa": OPENAI_PARALLEL, "an": ANTHROPIC_PARALLEL}
STREAMS = [("oa", OPENAI_STREAM), ("oa", XAI_STREAM), ("an", ANTHROPIC_STREAM), ("an", ANTHROPIC_UNICODE)]

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}


def openai_tools(*names: str) -> list[dict]:
    return [
        {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": SCHEMA}}
        for name in names
    ]


def anthropic_tools(*names: str) -> list[dict]:
    return [{"name": name, "description": f"Does {name}.", "input_schema": SCHEMA} for name in names]


QUESTION = [{"role": "user", "content": "Use your tools."}]

models = pytest.mark.parametrize("model", ["oa", "an"])
streams = pytest.mark.parametrize(("model", "recorded"), STREAMS, ids=str)


@models
def test_an_openai_client_takes_a_tool_round_trip(openai_client: openai.OpenAI, upstream: Upstream, model: str) -> None:
    call = CALLS[model].facts.calls[0]
    upstream.answer(CALLS[model].answer(), AFTER[model].answer())
    tools = openai_tools(call.name)
    first = openai_client.chat.completions.create(model=model, messages=QUESTION, tools=tools)
    expect.completion(first, CALLS[model].facts)
    assert first.choices[0].finish_reason == "tool_calls"
    asked = first.choices[0].message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": asked.id, "content": "it is 3"}
    second = openai_client.chat.completions.create(
        model=model, messages=[*QUESTION, first.choices[0].message, result], tools=tools
    )
    expect.completion(second, AFTER[model].facts)
    check_round_trip(upstream, model, CALLS[model])


@models
def test_an_anthropic_client_takes_a_tool_round_trip(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    call = CALLS[model].facts.calls[0]
    upstream.answer(CALLS[model].answer(), AFTER[model].answer())
    tools = anthropic_tools(call.name)
    first = anthropic_client.messages.create(model=model, max_tokens=100, messages=QUESTION, tools=tools)
    expect.message(first, CALLS[model].facts)
    assert first.stop_reason == "tool_use"
    asked = next(block for block in first.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": asked.id, "content": "it is 3"}
    second = anthropic_client.messages.create(
        model=model,
        max_tokens=100,
        messages=[*QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}],
        tools=tools,
    )
    expect.message(second, AFTER[model].facts)
    check_round_trip(upstream, model, CALLS[model])


def check_round_trip(upstream: Upstream, model: str, recorded: Recording) -> None:
    """The provider received a definition, its own call and the result, in its own dialect."""
    first, second = (received.json for received in upstream.requests)
    call = recorded.facts.calls[0]
    for body in (first, second):
        (tool,) = body["tools"]
        if model == "oa":
            assert tool["type"] == "function"
            tool = tool["function"]
        assert tool["name"] == call.name
        assert tool["description"] == f"Does {call.name}."
        assert tool["parameters" if model == "oa" else "input_schema"] == SCHEMA
    assert text_of(first["messages"]) == text_of(second["messages"][:1]) == "Use your tools."
    if model == "oa":
        _, assistant, result = second["messages"]
        assert assistant["role"] == "assistant"
        (echoed,) = assistant["tool_calls"]
        assert (echoed["id"], echoed["type"], echoed["function"]["name"]) == (call.id, "function", call.name)
        assert json.loads(echoed["function"]["arguments"]) == call.value
        assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", call.id, "it is 3")
    else:
        _, assistant, answer = second["messages"]
        assert (assistant["role"], answer["role"]) == ("assistant", "user")
        text, echoed = assistant["content"]
        assert (text["type"], text["text"]) == ("text", recorded.facts.text)
        assert (echoed["type"], echoed["id"], echoed["name"], echoed["input"]) == (
            "tool_use",
            call.id,
            call.name,
            call.value,
        )
        (result,) = answer["content"]
        assert (result["type"], result["tool_use_id"]) == ("tool_result", call.id)
        assert text_of([{"content": result["content"]}]) == "it is 3"


def test_the_arguments_reach_openai_again_as_the_model_wrote_them(
    openai_client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_CALL.answer(), OPENAI_AFTER.answer())
    tools = openai_tools("add")
    first = openai_client.chat.completions.create(model="oa", messages=QUESTION, tools=tools)
    call = first.choices[0].message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "3"}
    openai_client.chat.completions.create(
        model="oa", messages=[*QUESTION, first.choices[0].message, result], tools=tools
    )
    sent = upstream.requests[1].json["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert sent == call.function.arguments == OPENAI_CALL.facts.calls[0].arguments


@models
def test_an_openai_client_answers_parallel_calls(openai_client: openai.OpenAI, upstream: Upstream, model: str) -> None:
    facts = PARALLEL[model].facts
    upstream.answer(PARALLEL[model].answer(), AFTER[model].answer())
    tools = openai_tools(*(call.name for call in facts.calls))
    first = openai_client.chat.completions.create(model=model, messages=QUESTION, tools=tools, parallel_tool_calls=True)
    expect.completion(first, facts)
    asked = first.choices[0].message.tool_calls
    assert len(asked) == 2
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.function.name}"} for call in asked
    ]
    openai_client.chat.completions.create(
        model=model,
        messages=[*QUESTION, first.choices[0].message, *results, {"role": "user", "content": "And now?"}],
        tools=tools,
    )
    check_parallel_results(upstream, model, PARALLEL[model])


@models
def test_an_anthropic_client_answers_parallel_calls(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    facts = PARALLEL[model].facts
    upstream.answer(PARALLEL[model].answer(), AFTER[model].answer())
    tools = anthropic_tools(*(call.name for call in facts.calls))
    first = anthropic_client.messages.create(model=model, max_tokens=100, messages=QUESTION, tools=tools)
    expect.message(first, facts)
    asked = [block for block in first.content if block.type == "tool_use"]
    assert len(asked) == 2
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": f"result of {call.name}"}]}
        for call in asked
    ]
    anthropic_client.messages.create(
        model=model,
        max_tokens=100,
        messages=[
            *QUESTION,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [*results, {"type": "text", "text": "And now?"}]},
        ],
        tools=tools,
    )
    check_parallel_results(upstream, model, PARALLEL[model])


def check_parallel_results(upstream: Upstream, model: str, recorded: Recording) -> None:
    """Every call has its result at the place where the provider's dialect wants it."""
    calls = recorded.facts.calls
    expected = [(call.id, f"result of {call.name}") for call in calls]
    messages = upstream.requests[1].json["messages"]
    if model == "oa":
        assert [turn["role"] for turn in messages] == ["user", "assistant", "tool", "tool", "user"]
        assert [call["id"] for call in messages[1]["tool_calls"]] == [call.id for call in calls]
        assert [(turn["tool_call_id"], text_of([turn])) for turn in messages[2:4]] == expected
        assert text_of(messages[4:]) == "And now?"
    else:
        # All results stand in the one next turn of the user, before any other text.
        assert [turn["role"] for turn in messages] == ["user", "assistant", "user"]
        uses = [block for block in messages[1]["content"] if block["type"] == "tool_use"]
        assert [(use["id"], use["input"]) for use in uses] == [(call.id, call.value) for call in calls]
        *results, text = messages[2]["content"]
        assert [block["type"] for block in results] == ["tool_result", "tool_result"]
        assert [(block["tool_use_id"], text_of([block])) for block in results] == expected
        assert text["text"] == "And now?"


@streams
@pytest.mark.parametrize("cut", CUTS)
def test_the_openai_accumulator_puts_streamed_calls_together(
    openai_client: openai.OpenAI, upstream: Upstream, model: str, recorded: Recording, cut: str
) -> None:
    upstream.answer(recorded.answer(cut))
    tools = openai_tools(*(call.name for call in recorded.facts.calls))
    with openai_client.chat.completions.stream(
        model=model, messages=QUESTION, tools=tools, stream_options={"include_usage": True}
    ) as stream:
        done = [event.name for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    expect.completion(final, recorded.facts)
    if recorded is not XAI_STREAM:
        # xAI's own way of counting reasoning reaches a client of its dialect unchanged.
        expect.openai_usage(final.usage, recorded.facts.usage)
    assert done == [call.name for call in recorded.facts.calls]
    assert all(call.type == "function" for call in final.choices[0].message.tool_calls)


@streams
@pytest.mark.parametrize("cut", CUTS)
def test_the_anthropic_accumulator_puts_streamed_calls_together(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str, recorded: Recording, cut: str
) -> None:
    upstream.answer(recorded.answer(cut))
    tools = anthropic_tools(*(call.name for call in recorded.facts.calls))
    with anthropic_client.messages.stream(model=model, max_tokens=100, messages=QUESTION, tools=tools) as stream:
        events = list(stream)
        final = stream.get_final_message()
    expect.message(final, recorded.facts)
    expect.anthropic_usage(final.usage, recorded.facts.usage)
    check_blocks(events)


def check_blocks(events: list) -> None:
    """Blocks come one after the other, numbered from 0, each started once and stopped once."""
    open_block = None
    blocks = 0
    for event in events:
        match event.type:
            case "content_block_start":
                assert open_block is None, "a block starts while another is open"
                assert event.index == blocks
                open_block = event.index
                blocks += 1
            case "content_block_delta":
                assert event.index == open_block
            case "content_block_stop":
                assert event.index == open_block
                open_block = None
    assert open_block is None
    assert blocks > 0


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
    ids=str,
)
def test_an_openai_tool_choice_means_the_same_to_anthropic(
    openai_client: openai.OpenAI, upstream: Upstream, choice: object, expected: dict
) -> None:
    upstream.answer(ANTHROPIC_AFTER.answer())
    openai_client.chat.completions.create(
        model="an", messages=QUESTION, tools=openai_tools("look", "find"), tool_choice=choice
    )
    assert upstream.only_request.json["tool_choice"] == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
    ],
    ids=str,
)
def test_an_anthropic_tool_choice_means_the_same_to_openai(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, choice: dict, expected: object
) -> None:
    upstream.answer(OPENAI_AFTER.answer())
    anthropic_client.messages.create(
        model="oa", max_tokens=100, messages=QUESTION, tools=anthropic_tools("look", "find"), tool_choice=choice
    )
    assert upstream.only_request.json["tool_choice"] == expected


def test_forbidding_parallel_calls_crosses_both_ways(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(ANTHROPIC_AFTER.answer(), OPENAI_AFTER.answer())
    openai_client.chat.completions.create(
        model="an", messages=QUESTION, tools=openai_tools("look"), parallel_tool_calls=False
    )
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    anthropic_client.messages.create(
        model="oa", max_tokens=100, messages=QUESTION, tools=anthropic_tools("look"), tool_choice=choice
    )
    to_anthropic, to_openai = (received.json for received in upstream.requests)
    assert to_anthropic["tool_choice"] == choice
    assert to_openai["parallel_tool_calls"] is False


def test_a_tool_without_parameters_is_an_object_for_anthropic(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(ANTHROPIC_AFTER.answer())
    openai_client.chat.completions.create(
        model="an", messages=QUESTION, tools=[{"type": "function", "function": {"name": "now"}}]
    )
    (tool,) = upstream.only_request.json["tools"]
    assert tool["name"] == "now"
    assert tool["input_schema"]["type"] == "object"
    Draft202012Validator.check_schema(tool["input_schema"])
    assert Draft202012Validator(tool["input_schema"]).is_valid({})


def test_a_failed_tool_is_told_to_openai(anthropic_client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answer(OPENAI_AFTER.answer())
    use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such city", "is_error": True}
    anthropic_client.messages.create(
        model="oa",
        max_tokens=100,
        messages=[*QUESTION, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}],
        tools=anthropic_tools("look"),
    )
    tool = upstream.only_request.json["messages"][-1]
    assert (tool["role"], tool["tool_call_id"]) == ("tool", "toolu_1")
    assert "no such city" in text_of([tool])


def text_of(turns: list[dict]) -> str:
    """The text of turns, whose contents may be strings or lists of blocks."""
    contents = [turn["content"] for turn in turns]
    return "".join(
        content if isinstance(content, str) else "".join(block["text"] for block in content) for content in contents
    )
