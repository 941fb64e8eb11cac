"""Embeddings. The SDK asks for base64 when the application does not say otherwise, and decodes it by itself."""

import math

import openai
import pytest

from recordings import recording
from upstream import Upstream, json_answer

# One vector of 1536 numbers in base64.
RECORDED = recording("openai/embeddings/openai-openai-embeddings-post-5f290ee6-0-078f97")
BAD_REQUEST = recording("openai/embeddings/embeddings-bad-request-0-2f6f1e")


def test_the_default_format_comes_from_openai(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(RECORDED.answer())
    answer = openai_client.embeddings.create(model="oa", input="Hello")
    received = upstream.only_request
    assert received.path == "/v1/embeddings"
    assert received.json == {"model": "gpt-4.1-mini", "input": "Hello", "encoding_format": "base64"}
    (item,) = answer.data
    assert len(item.embedding) == 1536
    assert math.isclose(math.hypot(*item.embedding), 1, rel_tol=1e-3)
    assert answer.usage.prompt_tokens == RECORDED.json["usage"]["prompt_tokens"]


def test_numbers_come_from_openai_when_asked_for(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    upstream.answer(json_answer({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}))
    answer = openai_client.embeddings.create(model="oa", input=["Hello"], encoding_format="float", dimensions=2)
    assert upstream.only_request.json["dimensions"] == 2
    assert answer.data[0].embedding == [0.25, -0.5]


def test_the_simulated_provider_speaks_both_formats(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    texts = ["one", "two", "one"]
    decoded = openai_client.embeddings.create(model="sim", input=texts)
    plain = openai_client.embeddings.create(model="sim", input=texts, encoding_format="float")
    assert [item.index for item in decoded.data] == [0, 1, 2]
    for base64, floats in zip(decoded.data, plain.data, strict=True):
        assert base64.embedding == pytest.approx(floats.embedding, abs=1e-6)
        assert math.isclose(math.hypot(*base64.embedding), 1, rel_tol=1e-3)
    first, second, third = (item.embedding for item in decoded.data)
    assert first == third != second
    assert decoded.usage.prompt_tokens > 0
    assert upstream.requests == []


def test_a_bad_request_is_told(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.answer(BAD_REQUEST.answer())
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.embeddings.create(model="oa", input=[[102257]], dimensions=-1)
    assert caught.value.body == BAD_REQUEST.json["error"]


def test_anthropic_has_no_embeddings(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.embeddings.create(model="an", input="Hello")
    assert caught.value.code == "unsupported_endpoint"
    assert upstream.requests == []
