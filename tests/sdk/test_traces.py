"""Traces and log records of calls, as OpenTelemetry's own packages receive them."""

import http.client
import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from conftest import openai_client_of
from gateway import Gateway
from otlp import PROTOCOLS, Collector, attributes
from recordings import recording
from upstream import PATIENCE_S, Answer, End, Upstream, json_answer

TEXT = recording("openai/openai-chat/chat-json-mode-0-e5348a")
QUESTION = [{"role": "user", "content": "what is the colour of the sky?"}]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}

CONFIG = """
models:
  oa: {{provider: openai, model: gpt-4.1-mini}}
  two:
    instances:
      - {{provider: openai, model: gpt-4.1-mini, weight: 1}}
      - {{provider: second, model: gpt-4.1-mini, weight: 0}}
providers:
  openai: {{endpoint: "{upstream}/v1", key: openai-upstream-key, dialects: [openai_chat]}}
  second: {{kind: openai, endpoint: "{upstream}/v1", key: second-upstream-key, dialects: [openai_chat]}}
consumers:
  everything: {{key: client-key, models: ["*"]}}
server:
  access_log: {{path: "off"}}
  drain: 5s
{traces}
"""

protocols = pytest.mark.parametrize("protocol", PROTOCOLS)

#: Starts a gateway that traces, with these further settings.
Start = Callable[..., Gateway]


@pytest.fixture
def mock(shared_upstream: Upstream) -> Upstream:
    shared_upstream.reset()
    return shared_upstream


@pytest.fixture
def collector(request: pytest.FixtureRequest) -> Iterator[Collector]:
    """A collector of the test's protocol, HTTP where it names none."""
    callspec = getattr(request.node, "callspec", None)
    collector = Collector(callspec.params.get("protocol", "http") if callspec else "http")
    collector.start()
    yield collector
    collector.stop()


@pytest.fixture
def start(mock: Upstream, collector: Collector, tmp_path: Path) -> Iterator[Start]:
    started: list[Gateway] = []

    def start(**settings: object) -> Gateway:
        traces = {"endpoint": collector.endpoint, "protocol": collector.protocol, "flush_interval": "1ms", **settings}
        return start_with(f"traces: {json.dumps(traces)}")

    def start_with(section: str) -> Gateway:
        config = tmp_path / f"tollgate-{len(started)}.yaml"
        config.write_text(CONFIG.format(upstream=f"http://127.0.0.1:{mock.port}", traces=section))
        started.append(Gateway(config))
        return started[-1]

    start.without = lambda: start_with("")  # type: ignore[attr-defined]
    yield start
    for gateway in started:
        if not gateway.has_ended:
            gateway.stop()


def ask(gateway: Gateway, model: str = "oa", **headers: str) -> object:
    with openai_client_of(gateway) as client:
        return client.chat.completions.create(model=model, messages=QUESTION, extra_headers=headers)


def call_and_attempts(spans: list[Span]) -> tuple[Span, list[Span]]:
    """The one span of a call, and those of its attempts in the order they were made."""
    (call,) = (span for span in spans if span.kind == Span.SPAN_KIND_SERVER)
    attempts = [span for span in spans if span.kind == Span.SPAN_KIND_CLIENT]
    attempts.sort(key=lambda span: attributes(span)["tollgate.attempt.number"])
    assert len(attempts) + 1 == len(spans)
    for attempt in attempts:
        assert attempt.trace_id == call.trace_id
        assert attempt.parent_span_id == call.span_id
        assert call.start_time_unix_nano <= attempt.start_time_unix_nano
        assert attempt.start_time_unix_nano <= attempt.end_time_unix_nano <= call.end_time_unix_nano
    return call, attempts


@protocols
def test_a_call_is_a_span_of_the_clients_trace_and_its_attempt_the_parent_of_the_providers(
    start: Start, mock: Upstream, collector: Collector, protocol: str
) -> None:
    gateway = start(headers={"x-tenant": "blue"}, service_name="gateway", resource={"deployment.environment.name": "test"})
    mock.answer(TEXT.answer())
    answer = ask(gateway, **SAMPLED)
    call, (attempt,) = call_and_attempts(collector.wait_for_spans(2))
    assert call.trace_id.hex() == TRACE
    assert call.parent_span_id.hex() == PARENT
    assert call.trace_state == attempt.trace_state == SAMPLED["tracestate"]
    sent = mock.only_request.headers
    assert sent["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert sent["tracestate"] == SAMPLED["tracestate"]
    assert call.name == "chat oa"
    told = attributes(call)
    assert told["http.request.method"] == "POST"
    assert told["url.path"] == "/v1/chat/completions"
    assert told["http.response.status_code"] == 200
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.model"] == "oa"
    assert told["tollgate.consumer"] == "everything"
    assert told["tollgate.attempts"] == 1
    assert attempt.name == "chat gpt-4.1-mini"
    told = attributes(attempt)
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "gpt-4.1-mini"
    assert told["gen_ai.response.model"] == answer.model
    assert told["gen_ai.response.id"] == answer.id
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert told["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert told["gen_ai.usage.output_tokens"] == answer.usage.completion_tokens
    assert (told["server.address"], told["server.port"]) == ("127.0.0.1", mock.port)
    resource = collector.resources[0]
    assert resource["service.name"] == "gateway"
    assert resource["deployment.environment.name"] == "test"
    assert collector.headers[0]["x-tenant"] == "blue"


def test_every_attempt_is_a_span_and_its_request_carries_its_own_id(
    start: Start, mock: Upstream, collector: Collector
) -> None:
    gateway = start()
    mock.answer(json_answer({"error": {"message": "overloaded"}}, status=503), TEXT.answer())
    ask(gateway, model="two")
    call, attempts = call_and_attempts(collector.wait_for_spans(3))
    assert call.parent_span_id == b""
    assert call.status.code == Status.STATUS_CODE_UNSET
    failed, answered = attempts
    sent = [request.headers["traceparent"] for request in mock.requests]
    assert sent == [f"00-{call.trace_id.hex()}-{attempt.span_id.hex()}-01" for attempt in attempts]
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert attributes(failed)["error.type"] == "503"
    assert attributes(failed)["http.response.status_code"] == 503
    assert answered.status.code == Status.STATUS_CODE_UNSET
    assert attributes(answered)["tollgate.instance"] == "second"
    assert attributes(answered)["http.request.resend_count"] == 1


def test_a_stream_is_a_span_until_its_end(start: Start, mock: Upstream, collector: Collector) -> None:
    gateway = start()
    mock.answer(streamed())
    with openai_client_of(gateway) as client:
        chunks = list(client.chat.completions.create(model="oa", messages=QUESTION, stream=True))
    _, (attempt,) = call_and_attempts(collector.wait_for_spans(2))
    told = attributes(attempt)
    assert told["gen_ai.response.id"] == chunks[0].id
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (7, 2)


def test_what_goes_wrong_is_an_error_of_the_call_and_of_its_attempt(
    start: Start, mock: Upstream, collector: Collector
) -> None:
    gateway = start()
    mock.answer(json_answer({"error": {"message": "broken"}}, status=500))
    with pytest.raises(openai.APIStatusError) as told:
        ask(gateway)
    call, (attempt,) = call_and_attempts(collector.wait_for_spans(2))
    assert call.status.code == attempt.status.code == Status.STATUS_CODE_ERROR
    assert attributes(call)["http.response.status_code"] == told.value.status_code
    assert attributes(attempt)["error.type"] == "500"


def test_a_call_without_a_key_is_a_span_without_attempts(start: Start, mock: Upstream, collector: Collector) -> None:
    gateway = start()
    with openai_client_of(gateway, key="unknown") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="oa", messages=QUESTION)
    call, attempts = call_and_attempts(collector.wait_for_spans(1))
    assert attempts == []
    # The client's mistakes are no errors of a server.
    assert call.status.code == Status.STATUS_CODE_UNSET
    assert attributes(call)["http.response.status_code"] == 401


def test_a_call_that_its_client_leaves_is_a_span_too(start: Start, mock: Upstream, collector: Collector) -> None:
    gateway = start()
    whole = streamed()
    mock.answer(Answer(200, whole.headers, whole.pieces[:1], End.HANG))
    with openai_client_of(gateway) as client:
        stream = client.chat.completions.create(model="oa", messages=QUESTION, stream=True)
        next(iter(stream))
        stream.close()
    call, (attempt,) = call_and_attempts(collector.wait_for_spans(2))
    assert attributes(call)["error.type"] == "client_gone"
    assert attributes(attempt)["tollgate.attempt.outcome"] == "cancelled"
    # Nobody but the client wanted it so.
    assert call.status.code == attempt.status.code == Status.STATUS_CODE_UNSET


def test_a_share_is_kept_and_clients_decide_for_theirs(start: Start, mock: Upstream, collector: Collector) -> None:
    gateway = start(sample=0)
    mock.answer(*(TEXT.answer() for _ in range(3)))
    ask(gateway)
    ask(gateway, **NOT_SAMPLED)
    ask(gateway, **SAMPLED)
    call, _ = call_and_attempts(collector.wait_for_spans(2))
    assert call.trace_id.hex() == TRACE
    gateway.stop()
    assert len(collector.spans) == 2
    own, not_sampled, sampled = (request.headers["traceparent"] for request in mock.requests)
    assert own.endswith("-00")
    assert not_sampled.startswith(f"00-{TRACE}-") and not_sampled.endswith("-00")
    assert sampled.endswith("-01")


def test_calls_that_fail_are_kept_if_that_is_wanted(start: Start, mock: Upstream, collector: Collector) -> None:
    gateway = start(sample=0, always_on_error=True)
    mock.answer(TEXT.answer(), json_answer({"error": {"message": "broken"}}, status=500))
    ask(gateway)
    with pytest.raises(openai.APIStatusError):
        ask(gateway)
    gateway.stop()
    call, _ = call_and_attempts(collector.spans)
    assert call.status.code == Status.STATUS_CODE_ERROR


def test_what_was_said_is_told_only_when_asked_for(start: Start, mock: Upstream, collector: Collector) -> None:
    said = json.loads(TEXT.answer().body)["choices"][0]["message"]["content"]
    mock.answer(TEXT.answer())
    ask(start())
    for span in collector.wait_for_spans(2):
        assert b"sky" not in span.SerializeToString()
    collector.spans.clear()
    mock.answer(TEXT.answer(), streamed())
    gateway = start(prompts=True)
    ask(gateway)
    call, _ = call_and_attempts(collector.wait_for_spans(2))
    told = attributes(call)
    text = {"type": "text", "content": QUESTION[0]["content"]}
    assert json.loads(told["gen_ai.input.messages"]) == [{"role": "user", "parts": [text]}]
    (answer,) = json.loads(told["gen_ai.output.messages"])
    assert answer["role"] == "assistant"
    assert answer["parts"] == [{"type": "text", "content": said}]
    collector.spans.clear()
    with openai_client_of(gateway) as client:
        list(client.chat.completions.create(model="oa", messages=QUESTION, stream=True))
    call, _ = call_and_attempts(collector.wait_for_spans(2))
    (answer,) = json.loads(attributes(call)["gen_ai.output.messages"])
    assert answer["parts"] == [{"type": "text", "content": "Hello!"}]


@protocols
def test_a_collector_that_is_away_loses_nothing(
    start: Start, mock: Upstream, collector: Collector, protocol: str
) -> None:
    gateway = start()
    mock.answer_with(lambda _: TEXT.answer())
    ask(gateway)
    collector.wait_for_spans(2)
    collector.stop()
    for _ in range(3):
        ask(gateway)
    collector.start()
    ask(gateway)
    spans = collector.wait_for_spans(10)
    assert len({span.span_id for span in spans}) == 10


@protocols
def test_a_collector_that_is_busy_is_asked_again(
    start: Start, mock: Upstream, collector: Collector, protocol: str
) -> None:
    gateway = start()
    collector.busy = 1
    mock.answer(TEXT.answer())
    ask(gateway)
    collector.wait_for_refusal()
    call_and_attempts(collector.wait_for_spans(2))


def test_what_the_queue_does_not_hold_is_counted(start: Start, mock: Upstream, collector: Collector) -> None:
    mock.answer_with(lambda _: TEXT.answer())
    collector.stop()
    gateway = start(queue=2)
    for _ in range(5):
        ask(gateway)
    collector.start()
    collector.wait_for_spans(4)
    gateway.stop()
    assert len(collector.spans) == 4
    lost = re.findall(r"entries are lost .*sink=\"?traces\"?.* dropped_full=(\d+)", gateway.said)
    assert sum(map(int, lost)) == 3, gateway.said


@protocols
def test_what_waits_is_sent_when_the_gateway_stops(
    start: Start, mock: Upstream, collector: Collector, protocol: str
) -> None:
    gateway = start(flush_interval="1h")
    mock.answer_with(lambda _: TEXT.answer())
    for _ in range(3):
        ask(gateway)
    assert collector.spans == []
    gateway.stop()
    assert len(collector.spans) == 6


@protocols
def test_every_call_is_a_log_record_if_that_is_wanted(
    start: Start, mock: Upstream, collector: Collector, protocol: str
) -> None:
    gateway = start(logs=True, sample=0)
    mock.answer(TEXT.answer(), json_answer({"error": {"message": "broken"}}, status=500))
    ask(gateway)
    with pytest.raises(openai.APIStatusError):
        ask(gateway)
    gateway.stop()
    assert collector.spans == []
    answered, failed = collector.logs
    assert (answered.severity_text, failed.severity_text) == ("INFO", "ERROR")
    assert answered.body.string_value == "POST /v1/chat/completions 200"
    sent = [request.headers["traceparent"].split("-")[1] for request in mock.requests]
    assert [answered.trace_id.hex(), failed.trace_id.hex()] == sent
    assert attributes(answered)["tollgate.consumer"] == "everything"
    assert attributes(answered)["gen_ai.request.model"] == "oa"


def test_an_invalid_context_is_ignored(start: Start, mock: Upstream, collector: Collector) -> None:
    gateway = start()
    mock.answer(TEXT.answer())
    ask(gateway, traceparent=f"00-{TRACE.upper()}-{PARENT}-01", tracestate="rojo=1")
    call, _ = call_and_attempts(collector.wait_for_spans(2))
    assert call.trace_id.hex() != TRACE
    assert call.parent_span_id == b""
    assert "tracestate" not in mock.only_request.headers


APISIX_CONFIG = """
deployment: {{role: data_plane, role_data_plane: {{config_provider: yaml}}}}
tollgate: {{traces: {{endpoint: "{collector}", protocol: grpc, flush_interval: 1ms}}}}
"""

APISIX_ROUTES = """
routes:
  - id: plain
    uri: /plain/*
    upstream: {{type: roundrobin, nodes: {{"127.0.0.1:{port}": 1}}}}
  - id: model
    uri: /model
    plugins:
      ai-proxy:
        provider: openai-compatible
        auth: {{header: {{authorization: Bearer vendor-key}}}}
        options: {{model: gpt-4.1-mini}}
        override: {{endpoint: "http://127.0.0.1:{port}/v1/chat/completions"}}
  - id: hedged
    uri: /hedged
    plugins:
      ai-proxy-multi:
        hedge: {{max_percent: 50, min_ms: 1}}
        instances:
          - name: first
            provider: openai-compatible
            weight: 1
            priority: 1
            auth: {{header: {{authorization: Bearer first}}}}
            options: {{model: gpt-4.1-mini}}
            override: {{endpoint: "http://127.0.0.1:{port}/v1/chat/completions"}}
          - name: second
            provider: openai-compatible
            weight: 1
            priority: 0
            auth: {{header: {{authorization: Bearer second}}}}
            options: {{model: gpt-4.1-mini}}
            override: {{endpoint: "http://127.0.0.1:{port}/v1/chat/completions"}}
#END
"""

#: More calls than it takes to know how long answers usually take: some are asked twice on a busy machine.
MEASURED = 60


@pytest.mark.parametrize("protocol", ["grpc"])
def test_routes_of_apisix_are_traced_too(
    mock: Upstream, collector: Collector, protocol: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(APISIX_CONFIG.format(collector=collector.endpoint))
    (tmp_path / "apisix.yaml").write_text(APISIX_ROUTES.format(port=mock.port))
    gateway = Gateway(config)
    try:
        mock.answer(json_answer({"is": "plain"}))
        assert json.load(post(f"{gateway.url}/plain/x?key=secret", {}, SAMPLED)) == {"is": "plain"}
        call, (attempt,) = call_and_attempts(collector.wait_for_spans(2))
        assert call.trace_id.hex() == TRACE
        assert call.name == "POST /plain/*"
        assert attributes(call)["tollgate.route"] == "plain"
        assert mock.only_request.headers["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
        assert mock.only_request.headers["tracestate"] == SAMPLED["tracestate"]
        mock.reset()
        collector.spans.clear()
        mock.answer(TEXT.answer())
        post(f"{gateway.url}/model", {"messages": QUESTION}, SAMPLED).close()
        call, (attempt,) = call_and_attempts(collector.wait_for_spans(2))
        assert attributes(call)["http.route"] == "/model"
        assert attributes(attempt)["gen_ai.request.model"] == "gpt-4.1-mini"
        assert attributes(attempt)["gen_ai.usage.output_tokens"] > 0
        assert mock.only_request.headers["traceparent"] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
        mock.reset()
        # An answer that takes longer than usual is asked for again beside it.
        mock.answer_with(lambda request: TEXT.answer())
        for _ in range(MEASURED):
            post(f"{gateway.url}/hedged", {"messages": QUESTION}, NOT_SAMPLED).close()
        mock.reset()
        collector.spans.clear()
        silent = Answer(end=End.HANG, silent=True)
        mock.answer_with(lambda request: silent if request.headers["authorization"] == "Bearer first" else TEXT.answer())
        post(f"{gateway.url}/hedged", {"messages": QUESTION}, SAMPLED).close()
        call, attempts = call_and_attempts(collector.wait_for_spans(3))
        outcomes = {attributes(one)["tollgate.instance"]: attributes(one)["tollgate.attempt.outcome"] for one in attempts}
        assert outcomes == {"first": "outrun", "second": "ok"}
        sent = {request.headers["authorization"]: request.headers["traceparent"] for request in mock.requests}
        for one in attempts:
            name = attributes(one)["tollgate.instance"]
            assert sent[f"Bearer {name}"] == f"00-{TRACE}-{one.span_id.hex()}-01"
            assert one.status.code == Status.STATUS_CODE_UNSET
    finally:
        gateway.stop()


def post(url: str, body: object, headers: dict[str, str]) -> http.client.HTTPResponse:
    sent = {"content-type": "application/json", **headers}
    return urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), sent), timeout=PATIENCE_S)


def test_without_traces_providers_get_no_context(start: Start, mock: Upstream) -> None:
    gateway = start.without()
    mock.answer(TEXT.answer())
    ask(gateway, **SAMPLED)
    assert "traceparent" not in mock.only_request.headers
    assert "tracestate" not in mock.only_request.headers


def streamed() -> Answer:
    def chunk(**members: object) -> bytes:
        whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1-mini", **members}
        return f"data: {json.dumps(whole)}\n\n".encode()

    def choice(delta: dict, finish_reason: str | None = None) -> bytes:
        return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish_reason}])

    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    pieces = [
        choice({"role": "assistant", "content": "Hello"}),
        choice({"content": "!"}),
        choice({}, "stop"),
        chunk(choices=[], usage=usage),
        b"data: [DONE]\n\n",
    ]
    return Answer(200, {"content-type": "text/event-stream"}, pieces)
