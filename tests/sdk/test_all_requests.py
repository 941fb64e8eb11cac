"""Every recorded request of the big collection, sent to a provider of the other dialect: what the provider receives
must be what its own SDK could have sent, or the client must be told which field cannot be translated.
"""

import json
from collections.abc import Iterator

import anthropic
import openai
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from jsonschema import Draft202012Validator
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from recordings import ANTHROPIC, OPENAI, Recording, all_recordings, collection, recording
from test_all_recordings import check_all
from upstream import Received, Upstream, json_answer

OPENAI_ANSWER = recording("openai/openai-chat/test-async-chat-completion-extra-params-0-43e87a").json
ANTHROPIC_ANSWER = recording("anthropic/anthropic-messages/test-extra-headers-0-f0c430").json

#: Members that only the older version of the API has, which the gateway asks for when it translates.
OLDER_MEMBERS = {"temperature": {"type": "number"}, "top_p": {"type": "number"}, "top_k": {"type": "integer"}}


def schema_of(params: type, more: dict[str, dict]) -> Draft202012Validator:
    """The parameters of an SDK's call as a JSON schema that allows nothing else."""
    schema = TypeAdapter(params).json_schema()
    schema["properties"] |= more
    for part in [schema, *schema["$defs"].values()]:
        if "properties" in part:
            part["additionalProperties"] = False
    return Draft202012Validator(schema)


def test_the_schemas_refuse_what_the_sdks_do_not_know() -> None:
    for params, more in ((MessageCreateParamsNonStreaming, OLDER_MEMBERS), (CompletionCreateParamsNonStreaming, {})):
        validator = schema_of(params, more)
        text = {"type": "text", "text": "x"}
        good = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [text]}]}
        assert validator.is_valid(good)
        assert not validator.is_valid(good | {"unknown": 1})
        assert not validator.is_valid(good | {"messages": [{"role": "user", "content": [text | {"unknown": 1}]}]})


@pytest.fixture
def to_other_dialect(upstream: Upstream) -> dict[str, dict]:
    """Answers everything; gives the bodies received, by the name of the recording, which is sent along as the user."""
    bodies: dict[str, dict] = {}

    def answer(received: Received):
        body = received.json
        name = (body.get("metadata") or {}).get("user_id") or body.get("safety_identifier") or body.get("user")
        bodies[name] = body
        return json_answer(OPENAI_ANSWER if received.path.endswith("/chat/completions") else ANTHROPIC_ANSWER)

    upstream.answer_with(answer)
    return bodies


def requests(dialect: str) -> list[Recording]:
    """The recordings whose request is known, and was not refused by the provider."""
    if collection() is None:
        pytest.skip("the collection of recordings is not here; set TOLLGATE_FIXTURES to run this")
    known = [
        recorded for recorded in all_recordings(dialect) if recorded.request is not None and recorded.status == 200
    ]
    assert len(known) > 50, "the collection is not complete"
    return known


@pytest.mark.parametrize("model", ["an", "an-adaptive"])
def test_requests_of_openai_clients_are_valid_for_anthropic(
    openai_client: openai.OpenAI, to_other_dialect: dict[str, dict], model: str
) -> None:
    validator = schema_of(MessageCreateParamsNonStreaming, OLDER_MEMBERS)

    def check(recorded: Recording) -> None:
        asked = recorded.request | {"model": model, "user": recorded.id, "stream": False, "stream_options": None}
        asked.pop("safety_identifier", None)
        try:
            openai_client.post("/chat/completions", body=asked, cast_to=object)
        except openai.BadRequestError as error:
            assert error.code == "not_translatable", error
            assert error.param, error
            return
        check_schema(validator, to_other_dialect[recorded.id])
        check_anthropic_messages(to_other_dialect[recorded.id])

    check_all(requests(OPENAI), check)


@pytest.mark.parametrize("model", ["oa", "oa-reasoning"])
def test_requests_of_anthropic_clients_are_valid_for_openai(
    anthropic_client: anthropic.Anthropic, to_other_dialect: dict[str, dict], model: str
) -> None:
    validator = schema_of(CompletionCreateParamsNonStreaming, {})

    def check(recorded: Recording) -> None:
        asked = recorded.request | {"model": model, "metadata": {"user_id": recorded.id}, "stream": False}
        try:
            anthropic_client.post("/v1/messages", body=asked, cast_to=object)
        except anthropic.BadRequestError as error:
            assert "cannot express: `" in error.api_message, error
            return
        check_schema(validator, to_other_dialect[recorded.id])
        check_openai_messages(to_other_dialect[recorded.id])

    check_all(requests(ANTHROPIC), check)


def check_schema(validator: Draft202012Validator, body: dict) -> None:
    """The body is what the SDK's types allow; of alternatives, the nearest one's objections are told."""
    problems = [f"{problem.json_path}: {problem.message[:300]}" for problem in deepest(validator.iter_errors(body))]
    assert not problems, "\n".join(problems)


def deepest(errors: Iterator) -> Iterator:
    """The errors inside of alternatives that got furthest."""
    for error in errors:
        inner = sorted(deepest(error.context or []), key=lambda one: len(one.absolute_path))
        yield inner[-1] if inner else error


def check_anthropic_messages(body: dict) -> None:
    """What the API checks beyond the types: results follow their calls, and nothing is empty."""
    open_calls: list[str] = []
    for turn in body["messages"]:
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        assert blocks or turn is body["messages"][-1], "a turn without content"
        assert all(block["text"] for block in blocks if block["type"] == "text"), "an empty text"
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        assert sorted(results) == sorted(open_calls), "results and calls do not match"
        kinds = [block["type"] == "tool_result" for block in blocks]
        assert kinds == sorted(kinds, reverse=True), "something stands before the results"
        open_calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    names = [tool.get("name") for tool in body.get("tools", [])]
    assert len(names) == len(set(names))
    thinking = body.get("thinking", {})
    if thinking.get("type") == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
        assert body.get("tool_choice", {}).get("type") not in ("any", "tool"), "thinking forbids a forced call"
        assert body.get("temperature", 1) == 1


def check_openai_messages(body: dict) -> None:
    """What the API checks beyond the types: results follow their calls."""
    open_calls: set[str] = set()
    for turn in body["messages"]:
        if turn["role"] == "tool":
            assert turn["tool_call_id"] in open_calls, "a result without its call"
            open_calls.discard(turn["tool_call_id"])
            continue
        assert not open_calls, "a call without its result"
        calls = turn.get("tool_calls") or []
        assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls)
        assert all(len(call["id"]) <= 64 for call in calls)
        open_calls = {call["id"] for call in calls}
        if turn["role"] != "assistant":
            assert turn["content"], "a turn without content"
    assert not open_calls, "a call without its result"
