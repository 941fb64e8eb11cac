"""Images in requests."""

import json

import anthropic
import openai
import pytest

import expect
from recordings import recording
from upstream import Upstream

OPENAI_IMAGE = recording("openai/openai-chat/chat-image-to-text-0-51eb5c")
ANTHROPIC_IMAGE = recording("anthropic/anthropic-messages/test-image-url-input-0-03be23")
RECORDED = {"oa": OPENAI_IMAGE, "an": ANTHROPIC_IMAGE}

# The picture that was sent when the answer was recorded.
ASKED = json.loads((OPENAI_IMAGE.folder / "request.json").read_text())
DATA_URL = ASKED["messages"][0]["content"][1]["image_url"]["url"]
BASE64 = DATA_URL.partition(";base64,")[2]
URL = "https://images.example/vegetable.jpg?size=1&x=%20"

models = pytest.mark.parametrize("model", ["oa", "an"])
sources = pytest.mark.parametrize("source", ["base64", "url"])


@models
@sources
def test_an_openai_client_shows_an_image(
    openai_client: openai.OpenAI, upstream: Upstream, model: str, source: str
) -> None:
    upstream.answer(RECORDED[model].answer())
    url = DATA_URL if source == "base64" else URL
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = openai_client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    expect.completion(answer, RECORDED[model].facts)
    check_image(upstream, model, source)


@models
@sources
def test_an_anthropic_client_shows_an_image(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str, source: str
) -> None:
    upstream.answer(RECORDED[model].answer())
    shown = (
        {"type": "base64", "media_type": "image/png", "data": BASE64}
        if source == "base64"
        else {"type": "url", "url": URL}
    )
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": shown}]
    answer = anthropic_client.messages.create(
        model=model, max_tokens=100, messages=[{"role": "user", "content": content}]
    )
    expect.message(answer, RECORDED[model].facts)
    check_image(upstream, model, source)


def check_image(upstream: Upstream, model: str, source: str) -> None:
    """The provider received text and image, in this order, unchanged."""
    (turn,) = upstream.only_request.json["messages"]
    text, image = turn["content"]
    assert (text["type"], text["text"]) == ("text", "What is this?")
    if model == "oa":
        assert image["type"] == "image_url"
        assert image["image_url"]["url"] == (DATA_URL if source == "base64" else URL)
    else:
        assert image["type"] == "image"
        expected = (
            {"type": "base64", "media_type": "image/png", "data": BASE64}
            if source == "base64"
            else {"type": "url", "url": URL}
        )
        assert image["source"] == expected


def test_an_image_in_a_tool_result_is_not_lost_on_the_way_to_openai(
    anthropic_client: anthropic.Anthropic, upstream: Upstream
) -> None:
    upstream.answer(OPENAI_IMAGE.answer())
    use = {"type": "tool_use", "id": "toolu_1", "name": "camera", "input": {}}
    shown = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "the photo"}, shown],
    }
    anthropic_client.messages.create(
        model="oa",
        max_tokens=100,
        messages=[
            {"role": "user", "content": "Take a photo."},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ],
        tools=[{"name": "camera", "input_schema": {"type": "object", "properties": {}}}],
    )
    messages = upstream.only_request.json["messages"]
    # A result of a tool is text only in this dialect, so the image follows in a turn of the user.
    assert [turn["role"] for turn in messages] == ["user", "assistant", "tool", "user"]
    assert "the photo" in str(messages[2]["content"])
    images = [part["image_url"]["url"] for part in messages[3]["content"] if part["type"] == "image_url"]
    assert images == [DATA_URL]
