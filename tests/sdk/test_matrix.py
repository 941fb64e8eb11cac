"""Each official SDK drives each kind of provider: what an application says arrives, and what the model says comes back.

The providers are mocks that understand nothing but their own dialect, and check it with the vendors' own types. What a
provider is told is compared with what was said, and what the SDK gives its application with what the provider answered.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway import Gateway
from matrix.clients import CLIENTS, Conversation
from matrix.providers import PROVIDERS, Provider
from matrix.talk import PNG, Asked, Call, Refused, Reply, Usage
from upstream import Answer, End, Received, Upstream

#: How each kind of provider is configured; `{url}` is the mock's address.
SETTINGS: dict[str, dict] = {
    "openai": {"kind": "openai", "endpoint": "{url}/v1", "dialects": ["openai_chat"]},
    "responses": {"kind": "openai", "endpoint": "{url}/v1", "dialects": ["openai_responses"]},
    "anthropic": {"kind": "anthropic", "endpoint": "{url}/v1"},
    "gemini": {"kind": "gemini", "endpoint": "{url}/v1beta"},
    "bedrock": {"kind": "bedrock", "endpoint": "{url}"},
    "cohere": {"kind": "cohere", "endpoint": "{url}/v2"},
}

#: Models that know no schemas of answers.
WITHOUT_SCHEMAS = {
    "anthropic": "claude-3-haiku-20240307",
    "bedrock": "anthropic.claude-3-haiku-20240307-v1:0",
}

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
TIME = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"], "additionalProperties": False}
TOOLS = {"get_weather": WEATHER, "get_time": TIME}
CALLS = (
    Call("get_weather", {"city": "Zürich \"1\" 🌦", "days": 3}, "call_w1"),
    Call("get_time", {"zone": "Europe/Zurich"}, "call_t2"),
)
ANSWER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}
TEXT = "Grüezi!\n  Zwei Zeilen, ein Tab\tund ein 🎈.\n"
#: Base64, as some makers demand of seals.
PROOF = "RXBrQ0NrZ0lDQkFCR0FJcVFLOGcrQT09"


@pytest.fixture(scope="session")
def matrix_gateway(
    shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway that knows one model of each kind of provider."""
    url = f"http://127.0.0.1:{shared_upstream.port}"
    config = {
        "models": {f"at-{name}": {"provider": name, "model": provider.model} for name, provider in PROVIDERS.items()}
        | {f"older-at-{name}": {"provider": name, "model": model} for name, model in WITHOUT_SCHEMAS.items()},
        "providers": {
            name: settings | {"endpoint": settings["endpoint"].format(url=url), "key": "upstream-key"}
            for name, settings in SETTINGS.items() if name in PROVIDERS
        },
        "consumers": {"application": {"key": "client-key", "models": ["*"]}},
        "server": {"access_log": {"path": "off"}, "drain": "5s"},
    }
    path = tmp_path_factory.mktemp("matrix") / "tollgate.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(config))
    gateway = Gateway(path)
    yield gateway
    gateway.stop()


@pytest.fixture
def upstream(shared_upstream: Upstream, matrix_gateway: Gateway) -> Iterator[Upstream]:
    """The mock provider, without memory of earlier tests."""
    shared_upstream.reset()
    yield shared_upstream
    assert shared_upstream.unused_answers == 0, "the gateway asked the provider less often than the test expects"


clients = pytest.mark.parametrize("client", CLIENTS)
providers = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
streams = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def conversation(gateway: Gateway, client: str, provider: Provider, **options: object) -> Conversation:
    return CLIENTS[client](gateway.url, f"at-{provider.name}", **options)


def say(upstream: Upstream, provider: Provider, stream: bool, *replies: Reply) -> None:
    """The provider's next answers."""
    upstream.answer(*(provider.stream(reply) if stream else provider.answer(reply) for reply in replies))


def asked(upstream: Upstream, provider: Provider, stream: bool) -> list[Asked]:
    """What the provider understood of all requests."""
    understood = [provider.asked(received) for received in upstream.requests]
    for one in understood:
        assert one.model == provider.model
        assert one.stream == stream
    return understood


def expected(reply: Reply, client: str, provider: Provider) -> Reply:
    """What the application hears. Not every dialect tells how much of the output was reasoning."""
    tells = CLIENTS[client].tells_reasoning and provider.tells_reasoning
    usage = replace(reply.usage, reasoning=reply.usage.reasoning if tells else 0)
    return replace(reply, proof="", usage=usage)


@clients
@providers
@streams
def test_text_and_usage_arrive(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider, stream: bool
) -> None:
    reply = Reply(text=TEXT, usage=Usage(input=1207, output=58, cached=1024))
    say(upstream, provider, stream, reply)
    with conversation(matrix_gateway, client, provider, system="Be kind.") as talk:
        talk.user(f"Hello {TEXT}")
        assert talk.ask(stream) == expected(reply, client, provider)
    (request,) = asked(upstream, provider, stream)
    assert request.system == "Be kind."
    assert request.texts == [f"Hello {TEXT}"]
    assert not request.tools
    assert request.schema is None
    assert not request.thinking


@clients
@providers
@streams
def test_the_limit_of_tokens_is_told(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider, stream: bool
) -> None:
    reply = Reply(text="Once upon", cut=True)
    say(upstream, provider, stream, reply)
    with conversation(matrix_gateway, client, provider) as talk:
        talk.user("A story.")
        assert talk.ask(stream) == expected(reply, client, provider)


@clients
@providers
@streams
def test_tools_are_called_and_answer_in_two_turns(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider, stream: bool
) -> None:
    first, second = Reply(calls=CALLS), Reply(text="Rain at noon.")
    say(upstream, provider, stream, first, second)
    with conversation(matrix_gateway, client, provider, tools=TOOLS) as talk:
        talk.user("What is the weather, and when?")
        heard = talk.ask(stream)
        assert [(call.name, call.arguments) for call in heard.calls] == [(call.name, call.arguments) for call in CALLS]
        assert len({call.id for call in heard.calls}) == 2
        assert all(call.id for call in heard.calls)
        talk.results([(heard.calls[0], "rain"), (heard.calls[1], "noon")])
        assert talk.ask(stream) == expected(second, client, provider)
    before, after = asked(upstream, provider, stream)
    assert before.tools == after.tools == TOOLS
    # The provider sees its own calls again, and the results with them, in order.
    assert after.calls == list(CALLS)
    assert after.results == [("call_w1", "rain"), ("call_t2", "noon")]


@clients
@providers
def test_a_picture_arrives(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider
) -> None:
    reply = Reply(text="A dot.")
    say(upstream, provider, False, reply)
    with conversation(matrix_gateway, client, provider) as talk:
        talk.user("What is this?", image=PNG)
        assert talk.ask(False) == expected(reply, client, provider)
    (request,) = asked(upstream, provider, False)
    assert request.images == [("image/png", PNG)]
    assert request.texts == ["What is this?"]


@clients
@providers
@streams
def test_an_answer_follows_a_schema(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider, stream: bool
) -> None:
    reply = Reply(text='{"city": "Bern", "population": 134794}')
    say(upstream, provider, stream, reply)
    with conversation(matrix_gateway, client, provider, schema=ANSWER) as talk:
        talk.user("The capital.")
        assert talk.ask(stream) == expected(reply, client, provider)
    (request,) = asked(upstream, provider, stream)
    assert request.schema == ANSWER


# What is sent in the provider's own dialect is not changed.
@pytest.mark.parametrize(
    ("client", "name"), [(client, name) for client in CLIENTS for name in WITHOUT_SCHEMAS if client != name]
)
@streams
def test_a_model_without_schemas_is_bound_by_a_tool_that_the_client_does_not_see(
    matrix_gateway: Gateway, upstream: Upstream, client: str, name: str, stream: bool
) -> None:
    provider = PROVIDERS[name]
    told: list[Asked] = []

    def answer(received: Received) -> Answer:
        told.append(provider.asked(received))
        (tool,) = told[0].tools
        reply = Reply(calls=(Call(tool, {"city": "Bern", "population": 134794}, "call_1"),))
        return provider.stream(reply) if stream else provider.answer(reply)

    upstream.answer_with(answer)
    with CLIENTS[client](matrix_gateway.url, f"older-at-{name}", schema=ANSWER) as talk:
        talk.user("The capital.")
        heard = talk.ask(stream)
    assert json.loads(heard.text) == {"city": "Bern", "population": 134794}
    assert not heard.calls
    assert told[0].tools[next(iter(told[0].tools))] == ANSWER


@clients
@providers
@streams
def test_thinking_comes_back_to_its_maker_in_the_second_turn(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider, stream: bool
) -> None:
    usage = Usage(input=40, output=90, reasoning=60 if provider.tells_reasoning else 0)
    proof = PROOF if provider.seals else ""
    first = Reply(calls=CALLS[:1], thinking="They want the weather.", proof=proof, usage=usage)
    second = Reply(text="Rain.")
    say(upstream, provider, stream, first, second)
    with conversation(matrix_gateway, client, provider, tools=TOOLS, thinking=True) as talk:
        talk.user("What is the weather?")
        heard = talk.ask(stream)
        assert heard.thinking == first.thinking
        assert heard.usage == expected(first, client, provider).usage
        talk.results([(heard.calls[0], "rain")])
        assert talk.ask(stream).text == second.text
    before, after = asked(upstream, provider, stream)
    assert before.thinking
    assert not before.proofs
    if provider.seals and talk.carries_seals:
        assert after.proofs == [PROOF]
    else:
        assert not after.proofs


@clients
@providers
@streams
def test_being_asked_too_often_is_told(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider, stream: bool
) -> None:
    upstream.answer(provider.failure())
    with conversation(matrix_gateway, client, provider) as talk:
        talk.user("Hello")
        with pytest.raises(Refused) as refused:
            talk.ask(stream)
    assert refused.value.status == 429
    assert refused.value.kind == talk.too_often
    assert "Slow down." in refused.value.message


@clients
@providers
def test_a_client_that_leaves_ends_the_providers_work(
    matrix_gateway: Gateway, upstream: Upstream, client: str, provider: Provider
) -> None:
    pieces = list(provider.events(Reply(text=TEXT)))
    upstream.answer(replace(provider.stream(Reply(text=TEXT)), pieces=pieces[: len(pieces) // 2 + 1], end=End.HANG))
    with conversation(matrix_gateway, client, provider) as talk:
        talk.user("Hello")
        talk.begin()
        assert upstream.wait_for_request().closed.wait(30), "the provider goes on although nobody listens"
