"""Answers bound to a JSON schema."""

from typing import Literal

import anthropic
import openai
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from recordings import recording
from upstream import Upstream

OPENAI_VERDICT = recording("groq/openai-chat/agent-tool-sessions-json-schema-structured-output-roundtrip-0-e1eb14")
ANTHROPIC_JOKE = recording("anthropic/anthropic-messages/test-anthropic-structured-outputs-legacy-0-134621")
ANTHROPIC_CALL = recording("anthropic/anthropic-messages/testtoolcallsinchatresponse.test-anthropic-0-53743a")
RECORDED = {"oa": OPENAI_VERDICT, "an": ANTHROPIC_JOKE}
QUESTION = [{"role": "user", "content": "Make one up."}]


class Checks(BaseModel):
    compile: bool
    replay: bool


class Verdict(BaseModel):
    lane: str
    checks: Checks
    risk: Literal["low", "high"]


class Joke(BaseModel):
    joke: str
    rating: int


class GetWeather(BaseModel):
    location: str


EXPECTED = {
    "oa": Verdict(lane="canary", checks=Checks(compile=True, replay=True), risk="low"),
    "an": Joke(
        joke="Why did the developer break up with OpenTelemetry? "
        "Because they had too many traces of their ex in the logs!",
        rating=7,
    ),
}

models = pytest.mark.parametrize("model", ["oa", "an"])


@models
def test_an_openai_client_parses_the_answer(openai_client: openai.OpenAI, upstream: Upstream, model: str) -> None:
    upstream.answer(RECORDED[model].answer())
    answer = openai_client.chat.completions.parse(model=model, messages=QUESTION, response_format=type(EXPECTED[model]))
    assert answer.choices[0].message.parsed == EXPECTED[model]
    check_schema(upstream, model)


@models
def test_an_anthropic_client_parses_the_answer(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.answer(RECORDED[model].answer())
    answer = anthropic_client.messages.parse(
        model=model, max_tokens=100, messages=QUESTION, output_format=type(EXPECTED[model])
    )
    assert answer.parsed_output == EXPECTED[model]
    check_schema(upstream, model)


def check_schema(upstream: Upstream, model: str) -> None:
    """The provider received the schema where its dialect wants it, and the schema means the class."""
    body = upstream.only_request.json
    if model == "oa":
        assert "output_config" not in body
        assert body["response_format"]["type"] == "json_schema"
        wrapper = body["response_format"]["json_schema"]
        # The dialect demands a name even where the client's dialect has none.
        assert 1 <= len(wrapper["name"]) <= 64
        assert set(wrapper["name"]) <= NAME_CHARACTERS
        schema = wrapper["schema"]
    else:
        assert "response_format" not in body
        assert body["output_config"]["format"]["type"] == "json_schema"
        schema = body["output_config"]["format"]["schema"]
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    good = EXPECTED[model].model_dump()
    assert validator.is_valid(good)
    assert not validator.is_valid({name: [] for name in good})
    assert not validator.is_valid({})
    assert schema["additionalProperties"] is False


NAME_CHARACTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_an_openai_client_parses_a_strict_tool_call(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(ANTHROPIC_CALL.answer())
    answer = openai_client.chat.completions.parse(
        model="an", messages=QUESTION, tools=[openai.pydantic_function_tool(GetWeather, name="get_weather")]
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.parsed_arguments == GetWeather(location="San Francisco")
    (tool,) = upstream.only_request.json["tools"]
    assert tool["strict"] is True


def test_plain_json_mode_reaches_openai(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(recording("openai/openai-chat/chat-json-mode-0-e5348a").answer())
    openai_client.chat.completions.create(model="oa", messages=QUESTION, response_format={"type": "json_object"})
    assert upstream.only_request.json["response_format"] == {"type": "json_object"}
