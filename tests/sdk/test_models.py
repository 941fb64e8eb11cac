"""The lists of models, and counting tokens."""

import anthropic
import openai
import pytest
from anthropic.types import ModelInfo
from openai.types import Model

from conftest import LIMITED_KEY, anthropic_client_of, openai_client_of
from gateway import Gateway
from recordings import recording
from upstream import Upstream

ALL = ["an", "an-adaptive", "oa", "oa-reasoning", "sim"]
COUNT = recording("anthropic/anthropic-count-tokens/count-tokens-with-adaptive-thinking-and-output-tools-0-af6ca7")
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def test_an_openai_client_lists_its_models(openai_client: openai.OpenAI, upstream: Upstream) -> None:
    models = list(openai_client.models.list())
    assert sorted(model.id for model in models) == ALL
    for model in models:
        Model.model_validate(model.to_dict(), strict=True)
    assert upstream.requests == []


def test_an_anthropic_client_lists_its_models(anthropic_client: anthropic.Anthropic, upstream: Upstream) -> None:
    page = anthropic_client.models.list()
    assert sorted(model.id for model in page) == ALL
    assert not page.has_more
    assert (page.first_id, page.last_id) == (page.data[0].id, page.data[-1].id)
    for model in page:
        ModelInfo.model_validate(model.to_dict(mode="json"))
    assert upstream.requests == []


def test_a_consumer_sees_only_what_it_may_use(gateway: Gateway, upstream: Upstream) -> None:
    with openai_client_of(gateway, LIMITED_KEY) as client:
        assert [model.id for model in client.models.list()] == ["oa"]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("an")
    with anthropic_client_of(gateway, LIMITED_KEY) as client:
        assert [model.id for model in client.models.list()] == ["oa"]
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("an")


@pytest.mark.parametrize("name", ALL)
def test_both_clients_retrieve_a_model(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, upstream: Upstream, name: str
) -> None:
    model = openai_client.models.retrieve(name)
    assert (model.id, model.object) == (name, "model")
    info = anthropic_client.models.retrieve(name)
    assert (info.id, info.type, info.display_name) == (name, "model", name)
    ModelInfo.model_validate(info.to_dict(mode="json"))


def test_anthropic_counts_tokens_itself(anthropic_client: anthropic.Anthropic, upstream: Upstream) -> None:
    upstream.answer(COUNT.answer())
    tools = [{"name": "final_result", "input_schema": {"type": "object", "properties": {}}}]
    answer = anthropic_client.messages.count_tokens(model="an", messages=QUESTION, tools=tools)
    assert answer.input_tokens == 671
    received = upstream.only_request
    assert received.path == "/v1/messages/count_tokens"
    assert received.json == {"model": "claude-sonnet-4-5", "messages": QUESTION, "tools": tools}


@pytest.mark.parametrize("model", ["oa", "sim"])
def test_tokens_are_estimated_where_the_provider_cannot_count(
    anthropic_client: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    few = anthropic_client.messages.count_tokens(model=model, messages=QUESTION)
    many = anthropic_client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "word " * 1000}])
    assert 5 <= few.input_tokens <= 20
    assert 800 <= many.input_tokens <= 2500
    assert upstream.requests == []


def test_an_estimate_says_that_it_is_one(anthropic_client: anthropic.Anthropic, upstream: Upstream) -> None:
    answer = anthropic_client.messages.with_raw_response.count_tokens(model="oa", messages=QUESTION)
    assert answer.headers["x-tollgate-estimated"] == "true"
