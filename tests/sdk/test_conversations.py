"""Conversations that the gateway keeps: a client of the Responses API goes on, looks back, and deletes."""

import openai
import pytest

from conftest import LIMITED_KEY, openai_client_of
from gateway import Gateway

# Its provider is the gateway itself, which keeps nothing.
MODEL = "sim"


def test_a_conversation_goes_on(openai_client: openai.OpenAI) -> None:
    first = openai_client.responses.create(model=MODEL, input="Hello")
    assert first.store is True
    second = openai_client.responses.create(model=MODEL, input="And you?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    # The simulated model counts what it was sent: the whole conversation.
    assert second.usage.input_tokens > first.usage.input_tokens
    again = openai_client.responses.create(model=MODEL, input="Hello", previous_response_id=second.id)
    assert again.usage.input_tokens > second.usage.input_tokens


def test_a_streamed_conversation_goes_on(openai_client: openai.OpenAI) -> None:
    with openai_client.responses.stream(model=MODEL, input="Hello") as stream:
        events = list(stream)
        first = stream.get_final_response()
    assert {event.response.id for event in events if hasattr(event, "response")} == {first.id}
    with openai_client.responses.stream(model=MODEL, input="And you?", previous_response_id=first.id) as stream:
        second = stream.get_final_response()
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    assert openai_client.responses.retrieve(second.id).output_text == second.output_text


def test_an_answer_is_looked_up_listed_and_deleted(openai_client: openai.OpenAI) -> None:
    first = openai_client.responses.create(model=MODEL, input="Hello")
    second = openai_client.responses.create(model=MODEL, input="And you?", previous_response_id=first.id)
    found = openai_client.responses.retrieve(second.id)
    assert found.to_dict() == second.to_dict()
    pages = openai_client.responses.input_items.list(second.id, order="asc", limit=2)
    texts = [item.content[0].text for item in pages]
    assert texts == ["Hello", first.output_text, "And you?"]
    newest = openai_client.responses.input_items.list(second.id, limit=1)
    assert [item.content[0].text for item in newest.data] == ["And you?"]
    openai_client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.responses.create(model=MODEL, input="x", previous_response_id=second.id)
    assert refused.value.code == "previous_response_not_found"
    assert refused.value.param == "previous_response_id"


def test_what_is_not_to_be_kept_is_not(openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(model=MODEL, input="Hello", store=False)
    assert response.store is False
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(response.id)


def test_another_consumer_finds_nothing(gateway: Gateway, openai_client: openai.OpenAI) -> None:
    response = openai_client.responses.create(model=MODEL, input="Hello")
    with openai_client_of(gateway, LIMITED_KEY) as other:
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(response.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.delete(response.id)
        with pytest.raises(openai.BadRequestError):
            other.responses.create(model="oa", input="x", previous_response_id=response.id)
    openai_client.responses.retrieve(response.id)


def test_items_are_referred_to(openai_client: openai.OpenAI) -> None:
    first = openai_client.responses.create(model=MODEL, input="Hello")
    refer = {"type": "item_reference", "id": first.output[0].id}
    alone = openai_client.responses.create(model=MODEL, input=[{"role": "user", "content": "And you?"}])
    beside = openai_client.responses.create(model=MODEL, input=[refer, {"role": "user", "content": "And you?"}])
    assert beside.usage.input_tokens > alone.usage.input_tokens
