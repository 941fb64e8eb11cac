"""Every recording, translated into every other dialect, must be what that dialect's official package says, strictly: an
SDK builds its objects without checking, so an application would find a wrong type much later.

The translations are those of `crates/dialects/examples/translate_recordings.rs`.
"""

import base64
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import cohere
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParams
from botocore.eventstream import EventStreamBuffer
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.validate import ParamValidator
from google.genai import types
from jsonschema import Draft202012Validator
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter

from matrix.providers.bedrock import SERVICE, native
from recordings import collection

DIALECTS = {
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "gemini_generate",
    "bedrock_converse",
    "cohere_chat",
}

#: Members that only the older version of Anthropic's API has, which the gateway asks for when it translates.
OLDER_MEMBERS = {"temperature": {"type": "number"}, "top_p": {"type": "number"}, "top_k": {"type": "integer"}}


@pytest.fixture(scope="session")
def translations() -> list[dict]:
    """What the codecs made of every recording."""
    if collection() is None:
        pytest.skip("the collection of recordings is not here; set TOLLGATE_FIXTURES to run this")
    program = os.environ.get("TOLLGATE_TRANSLATIONS", "")
    assert os.access(program, os.X_OK), "build it: cargo build -p tollgate-dialects --example translate_recordings"
    done = subprocess.run([program, str(collection())], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) > 4000, "the collection is not complete"
    return found


# The types of each dialect: a function fails if a document is none of that dialect.


def strict(model: object) -> Callable[[object], object]:
    return TypeAdapter(model).validate_python


def closed(params: object, more: dict[str, dict] | None = None) -> Callable[[object], None]:
    """The parameters of an SDK's call, with nothing else allowed."""
    schema = TypeAdapter(params).json_schema()
    for part in [schema, *schema.get("$defs", {}).values()]:
        if "properties" in part:
            part["additionalProperties"] = False
            # The variants with and without a stream hold the same members.
            if more and "messages" in part["properties"]:
                part["properties"] |= more
    return Draft202012Validator(schema).validate


def gemini_request(body: dict) -> None:
    known = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
    known |= {"labels", "serviceTier"}
    assert body.keys() <= known, body.keys() - known
    strict(list[types.Content])(body["contents"])
    strict(list[types.Tool])(body.get("tools", []))
    strict(types.Content)(body.get("systemInstruction", {}))
    strict(types.ToolConfig)(body.get("toolConfig", {}))
    strict(types.GenerationConfig)(body.get("generationConfig", {}))


def bedrock_request(body: dict) -> None:
    shape = SERVICE.operation_model("Converse").input_shape
    problems = ParamValidator().validate(native(body, shape, "body") | {"modelId": "m"}, shape)
    assert not problems.has_errors(), problems.generate_report()
    roles = [message["role"] for message in body["messages"]]
    assert all(role != after for role, after in zip(roles, roles[1:])), "the roles must alternate"


def cohere_request(body: dict) -> None:
    parts = {
        "model": str,
        "messages": list[cohere.ChatMessageV2],
        "tools": list[cohere.ToolV2],
        "response_format": cohere.ResponseFormatV2,
        "thinking": cohere.Thinking,
        "citation_options": cohere.CitationOptions,
        "documents": list[cohere.Document | str],
        "stop_sequences": list[str],
        "tool_choice": str,
        "safety_mode": str,
    }
    numbers = {"temperature", "p", "k", "seed", "max_tokens", "frequency_penalty", "presence_penalty", "priority"}
    flags = {"stream", "strict_tools", "logprobs"}
    assert body.keys() <= parts.keys() | numbers | flags, body.keys()
    for name, value in body.items():
        strict(parts.get(name, bool if name in flags else float))(value)


def bedrock_answer(body: dict) -> None:
    output = complete(body, SERVICE.operation_model("Converse").output_shape, "answer")
    assert output["output"]["message"]["role"] == "assistant"


def complete(value: object, shape: Shape, place: str) -> object:
    """Fails at members that Amazon does not know, and where one is missing that is always there."""
    match shape:
        case StructureShape() if getattr(shape, "is_document_type", False):
            pass
        case StructureShape():
            missing = set(shape.required_members) - value.keys()
            assert not missing, f"{place} lacks {missing}"
            for name, item in value.items():
                assert name in shape.members, f"{place} has an unknown member {name}"
                complete(item, shape.members[name], f"{place}.{name}")
        case ListShape():
            for item in value:
                complete(item, shape.member, f"{place}[]")
        case MapShape():
            for key, item in value.items():
                complete(item, shape.value, f"{place}.{key}")
        case Shape(type_name="blob"):
            base64.b64decode(value, validate=True)
        case Shape(type_name="string"):
            assert isinstance(value, str), place
        case Shape(type_name="integer" | "long"):
            assert type(value) is int, place
    return value


def cohere_answer(body: dict) -> None:
    strict(cohere.V2ChatResponse)(body)
    assert body["finish_reason"] in {"COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL", "ERROR", "TIMEOUT"}


REQUESTS: dict[str, Callable[[dict], object]] = {
    "openai_chat": closed(CompletionCreateParams),
    "openai_responses": closed(ResponseCreateParams),
    "anthropic_messages": closed(MessageCreateParams, OLDER_MEMBERS),
    "gemini_generate": gemini_request,
    "bedrock_converse": bedrock_request,
    "cohere_chat": cohere_request,
}

ANSWERS: dict[str, Callable[[dict], object]] = {
    "openai_chat": strict(ChatCompletion),
    "openai_responses": strict(Response),
    "anthropic_messages": strict(Message),
    "gemini_generate": strict(types.GenerateContentResponse),
    "bedrock_converse": bedrock_answer,
    "cohere_chat": cohere_answer,
}

EVENTS: dict[str, Callable[[dict], object]] = {
    "openai_chat": strict(ChatCompletionChunk),
    "openai_responses": strict(ResponseStreamEvent),
    "anthropic_messages": strict(RawMessageStreamEvent),
    "gemini_generate": strict(types.GenerateContentResponse),
    "cohere_chat": strict(cohere.V2ChatStreamResponse),
}


def events(text: str) -> Iterator[dict]:
    """The documents of server-sent events."""
    for block in text.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].lstrip() for line in block.split("\n") if line.startswith("data:"))
        if data and data != "[DONE]":
            yield json.loads(data)


def check_frames(encoded: str) -> None:
    """Bedrock's event streams: botocore checks both checksums."""
    buffer = EventStreamBuffer()
    buffer.add_data(base64.b64decode(encoded))
    union = SERVICE.shape_for("ConverseStreamOutput")
    names = []
    for message in buffer:
        kind = message.headers.get(":event-type") or message.headers[":exception-type"]
        names.append(kind)
        complete(json.loads(message.payload), union.members[kind], kind)
    assert names[0] == "messageStart", names
    assert "metadata" in names[-2:] or names[-1].endswith("Exception"), names


def check(line: dict) -> None:
    to = line["to"]
    match line["what"]:
        case "request":
            REQUESTS[to](line["body"])
        case "answer":
            ANSWERS[to](line["body"])
        case "stream" if to == "bedrock_converse":
            check_frames(line["base64"])
        case "stream":
            for event in events(line["text"]):
                # Signs of life, and what fails in the middle, are no part of the types.
                if event.get("type") != "ping" and ("error" not in event or "response" in event):
                    EVENTS[to](event)


@pytest.mark.parametrize("what", ["request", "answer", "stream"])
@pytest.mark.parametrize("to", sorted(DIALECTS))
def test_translations_are_what_the_official_types_say(translations: list[dict], to: str, what: str) -> None:
    problems, counts = [], Counter()
    for line in translations:
        if (line["to"], line["what"]) != (to, what):
            continue
        outcome = next((name for name in ("unreadable", "rejected") if name in line), "translated")
        counts[outcome] += 1
        if outcome != "translated":
            continue
        try:
            check(line)
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            problems.append(f"{line['name']}: {type(error).__name__}: {str(error)[:500]}")
    assert counts["translated"] > 40, counts
    assert not problems, f"{len(problems)} of {counts} are wrong:\n\n" + "\n\n".join(problems)
