"""Numbers for Prometheus, read by its own client library."""

import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import Gateway
from upstream import PATIENCE_S, Answer, End, Received, Upstream, json_answer, stream_answer

ROOT = Path(__file__).parents[2]

NATIVE = """
models:
  known: {{provider: openai, model: gpt-known}}
  failing: {{provider: openai, model: gpt-failing}}
  endless: {{provider: openai, model: gpt-endless}}
  fallback: {{instances: [{{name: gone, provider: gone, model: m}}, {{name: back, provider: openai, model: gpt-known}}]}}
  "any-*": {{provider: simulated}}
providers:
  openai: {{endpoint: "{url}/v1", key: upstream-key, dialects: [openai_chat]}}
  gone: {{kind: openai, endpoint: "http://127.0.0.1:1/v1", key: upstream-key}}
consumers:
  alice: {{key: alice-key, models: ["*"]}}
metrics: {{listen: "127.0.0.1:0"}}
server: {{workers: 2, access_log: {{path: "off"}}, drain: 5s}}
"""

BOOTSTRAP = """
deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}
nginx_config: {http: {enable_access_log: false}}
plugin_attr:
  prometheus:
    export_addr: {ip: 127.0.0.1, port: 0}
    export_uri: /numbers
    default_buckets: [15, 55.5, 60000]
    metrics: {http_status: {extra_labels: [{upstream_status: $upstream_status}, {dummy: $nothing}]}}
"""

OBJECTS = """
routes:
  - id: "1"
    name: counted
    uri: /chat
    plugins:
      prometheus: {{prefer_name: false}}
      http-logger: {{uri: "{url}/log", batch_max_size: 1}}
      ai-rate-limiting: {{limit: 1000000, time_window: 60}}
      ai-proxy-multi:
        fallback_strategy: http_5xx
        instances:
          - name: first
            provider: openai-compatible
            weight: 1
            priority: 1
            auth: {{header: {{Authorization: Bearer x}}}}
            options: {{model: gpt-known}}
            override: {{endpoint: "{url}/v1/chat/completions"}}
          - name: second
            provider: openai-compatible
            weight: 1
            auth: {{header: {{Authorization: Bearer x}}}}
            options: {{model: gpt-known}}
            override: {{endpoint: "{url}/v1/chat/completions"}}
  - id: "2"
    uri: /uncounted
    plugins:
      ai-proxy:
        provider: openai-compatible
        auth: {{header: {{Authorization: Bearer x}}}}
        options: {{model: gpt-known}}
        override: {{endpoint: "{url}/v1/chat/completions"}}
  - id: "3"
    uri: /plain*
    host: plain.example
    plugins: {{prometheus: {{prefer_name: true}}}}
    upstream: {{type: roundrobin, nodes: {{"127.0.0.1:{port}": 1}}}}
#END
"""

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 60},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


class Numbers:
    """What was fetched at one moment."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        # The library ends the names of all counters in `_total`; APISIX's do not.
        written = set(re.findall(r"^(\w+)", text, re.MULTILINE))
        self.samples = [
            sample if sample.name in written else sample._replace(name=sample.name.removesuffix("_total"))
            for family in self.families.values()
            for sample in family.samples
        ]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all series that have these labels."""
        return sum(sample.value for sample in self.series(name, **labels))

    def series(self, name: str, **labels: str) -> list:
        return [
            sample
            for sample in self.samples
            if sample.name == name and all(sample.labels.get(label) == value for label, value in labels.items())
        ]

    def labels_of(self, name: str) -> set[str]:
        return {label for sample in self.samples if sample.name == name for label in sample.labels}


class Metered:
    """A gateway whose numbers can be fetched."""

    def __init__(self, config: Path) -> None:
        self.gateway = Gateway(config)
        found = re.search(r"metrics\s+(http://127\.0\.0\.1:\d+)", self.gateway.said)
        assert found, self.gateway.said
        self.metrics_url = found[1]

    def fetch(self, path: str = "/metrics") -> Numbers:
        with urlopen(self.metrics_url + path) as answer:
            kind = answer.headers["content-type"]
            assert kind.startswith("text/plain; version=0.0.4"), kind
            return Numbers(answer.read().decode())

    def until(self, is_there: Callable[[Numbers], bool]) -> Numbers:
        """The numbers as soon as they are so: a call is counted when its last byte was sent, which a client may see sooner."""
        end = time.monotonic() + PATIENCE_S
        while True:
            numbers = self.fetch()
            if is_there(numbers):
                return numbers
            assert time.monotonic() < end, "the numbers never became so: " + repr(
                [sample for sample in numbers.samples if "_bucket" not in sample.name]
            )

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.gateway.url.removeprefix("http://"), timeout=60)

    def ask(self, model: str, path: str = "/v1/chat/completions", **more: object) -> int:
        """Makes a call and reads its answer to the end."""
        connection = self.connect()
        try:
            return ask_on(connection, model, path, **more)
        finally:
            connection.close()


def ask_on(connection: http.client.HTTPConnection, model: str, path: str, **more: object) -> int:
    answer = begin_on(connection, model, path, **more)
    answer.read()
    return answer.status


def begin_on(
    connection: http.client.HTTPConnection, model: str, path: str, key: str = "alice-key", host: str = "", **more: object
) -> http.client.HTTPResponse:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    if host:
        headers["host"] = host
    connection.request("POST", path, json.dumps(body), headers)
    return connection.getresponse()


def provider(request: Received) -> Answer:
    """Answers by model: `gpt-failing` fails, `gpt-endless` does not end."""
    if not request.body or request.path == "/log":
        return json_answer({})
    asked = request.json
    if asked.get("model") == "gpt-failing":
        return json_answer({"error": {"message": "down", "type": "server_error"}}, 500)
    if asked.get("stream"):
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-known-1"}

        def event(**more: object) -> bytes:
            return f"data: {json.dumps({**chunk, **more})}\n\n".encode()

        def delta(text: str) -> list:
            return [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]

        if asked.get("model") == "gpt-endless":
            return stream_answer([event(choices=delta("Hello"))], End.HANG)
        stop = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        return stream_answer(
            [
                event(choices=delta("Hello")),
                event(choices=delta(" there")),
                event(choices=stop),
                event(choices=[], usage=USAGE),
                b"data: [DONE]\n\n",
            ]
        )
    message = {"role": "assistant", "content": "Hello there"}
    return json_answer(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-known-1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    )


@pytest.fixture(scope="module")
def provider_of_numbers() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.answer_with(provider)
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def native(provider_of_numbers: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metered]:
    config = tmp_path_factory.mktemp("native") / "tollgate.yaml"
    config.write_text(NATIVE.format(url=f"http://127.0.0.1:{provider_of_numbers.port}"))
    metered = Metered(config)
    yield metered
    metered.gateway.stop()


@pytest.fixture(scope="module")
def apisix(provider_of_numbers: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metered]:
    folder = tmp_path_factory.mktemp("apisix")
    port = provider_of_numbers.port
    (folder / "config.yaml").write_text(BOOTSTRAP)
    (folder / "apisix.yaml").write_text(OBJECTS.format(url=f"http://127.0.0.1:{port}", port=port))
    metered = Metered(folder / "config.yaml")
    yield metered
    metered.gateway.stop()


def test_calls_of_all_kinds_are_counted(native: Metered) -> None:
    assert native.ask("known") == 200
    assert native.ask("known") == 200
    assert native.ask("known", stream=True, stream_options={"include_usage": True}) == 200
    assert native.ask("fallback") == 200
    assert native.ask("failing") >= 500
    assert native.ask("no-such-model") == 404
    assert native.ask("known", key="wrong-key") == 401
    assert native.ask("any-" + "m" * 200) == 200
    # A client that leaves in the middle of its answer.
    connection = native.connect()
    answer = begin_on(connection, "endless", "/v1/chat/completions", stream=True)
    assert answer.read(10)
    under_way = native.until(lambda numbers: numbers.sum("tollgate_calls_in_flight") == 1)
    assert under_way.sum("apisix_llm_active_connections", request_llm_model="endless") == 1
    answer.close()
    connection.close()
    # Metrics are told in the order of their names, so this one has been told of all nine.
    numbers = native.until(lambda numbers: numbers.sum("apisix_http_status") == 9)

    assert numbers.sum("tollgate_calls_in_flight") == 0
    assert numbers.sum("apisix_llm_active_connections") == 0
    assert numbers.sum("tollgate_calls_begun_total") == 9
    calls = {
        outcome: numbers.sum("tollgate_calls_total", outcome=outcome)
        for outcome in ("ok", "refused", "failed", "broken", "left")
    }
    assert calls == {"ok": 5, "refused": 2, "failed": 1, "broken": 0, "left": 1}
    assert numbers.sum("tollgate_calls_total", model="known", status="2xx", consumer="alice", provider="openai") == 3
    assert numbers.sum("tollgate_calls_total", model="any-" + "m" * 124) == 1
    assert numbers.sum("tollgate_call_errors_total", code="invalid_api_key") == 1
    assert numbers.sum("tollgate_call_errors_total", code="model_not_found") == 1
    # Four answers of the provider, each with the same usage.
    for kind, tokens in [("input", 40), ("cache_read", 60), ("output", 15), ("reasoning", 5)]:
        assert numbers.sum("tollgate_tokens_total", upstream_model="gpt-known", kind=kind) == 4 * tokens
    assert numbers.sum("tollgate_attempts_total", instance_name="gone", outcome="connect_error") == 1
    assert numbers.sum("tollgate_attempts_total", provider="openai", outcome="ok") == 4
    assert numbers.sum("tollgate_pool_fallbacks_total") == 1
    assert numbers.sum("tollgate_call_duration_seconds_count") == 9
    assert numbers.sum("tollgate_time_to_first_token_seconds_count", model="known") == 1
    assert numbers.sum("tollgate_time_per_output_token_seconds_count", model="known") == 1
    # Native routes are counted under APISIX's names too.
    assert numbers.sum("apisix_http_status", code="200", request_type="ai_chat", request_llm_model="known") == 2
    assert numbers.sum("apisix_llm_prompt_tokens", request_llm_model="known", node="openai") == 300
    assert numbers.sum("apisix_llm_latency_count", type="ttft", request_llm_model="known") == 1
    assert numbers.sum("apisix_http_requests_total") == 9
    assert numbers.sum("process_open_fds") > 0
    assert set(native.fetch("/apisix/prometheus/metrics").families) == set(numbers.families)


def test_histograms_are_whole(native: Metered) -> None:
    native.ask("known")
    numbers = native.fetch()
    histograms = [family for family in numbers.families.values() if family.type == "histogram"]
    assert len(histograms) > 6
    for family in histograms:
        by_series: dict[tuple, list[float]] = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
                by_series.setdefault(labels, []).append(sample.value)
        for labels, counts in by_series.items():
            assert counts == sorted(counts), (family.name, labels)
            assert counts[-1] == numbers.sum(family.name + "_count", **dict(labels))


def test_routes_of_apisix_are_counted_where_the_plugin_is(apisix: Metered) -> None:
    assert apisix.ask("asked", "/chat") == 200
    assert apisix.ask("asked", "/chat", stream=True) == 200
    assert apisix.ask("asked", "/uncounted") == 200
    assert apisix.ask("asked", "/plain/path", host="plain.example") == 200
    numbers = apisix.until(lambda numbers: numbers.sum("tollgate_calls_total") >= 4)
    assert numbers.series("apisix_http_status", route="2") == []
    assert {sample.labels["node"] for sample in numbers.series("apisix_llm_latency_count")} == {"first"}
    told = {"request_llm_model": "asked", "llm_model": "gpt-known", "node": "first", "consumer": ""}
    whole = {**told, "route_id": "1", "service_id": "", "request_type": "ai_chat"}
    assert numbers.sum("apisix_llm_prompt_tokens", **whole) == 100
    assert numbers.sum("apisix_llm_completion_tokens", **whole) == 20
    assert numbers.sum("apisix_llm_prompt_tokens_dist_bucket", **whole, le="50") == 0
    assert numbers.sum("apisix_llm_prompt_tokens_dist_bucket", **whole, le="100") == 1
    assert numbers.sum("apisix_llm_latency_count", **whole, type="total") == 1
    assert numbers.series("apisix_llm_latency_count", **whole, type="ttft") == []
    stream = {**whole, "request_type": "ai_stream"}
    assert numbers.sum("apisix_llm_latency_count", **stream, type="ttft") == 1
    assert numbers.sum("apisix_llm_active_connections", route_id="1", route="counted", matched_uri="/chat") == 0
    assert numbers.labels_of("apisix_llm_active_connections") >= {"route", "route_id", "service", "service_id"}
    plain = numbers.series("apisix_http_status", route="3")
    assert [(sample.value, sample.labels) for sample in plain] == [
        (
            1,
            {
                "code": "200",
                "route": "3",
                "matched_uri": "/plain*",
                "matched_host": "plain.example",
                "service": "",
                "consumer": "",
                "node": "127.0.0.1",
                "request_type": "traditional_http",
                "request_llm_model": "",
                "llm_model": "",
                "response_source": "upstream",
                "upstream_status": "200",
                "dummy": "",
            },
        )
    ]
    assert {sample.labels["le"] for sample in numbers.series("apisix_http_latency_bucket")} == {"15", "55.5", "60000", "+Inf"}
    for kind in ("request", "upstream", "apisix"):
        assert numbers.sum("apisix_http_latency_count", route="3", type=kind) == 1
    assert numbers.sum("apisix_bandwidth", route="3", type="ingress") > 150
    assert set(apisix.fetch("/numbers").families) == set(numbers.families)


def test_names_that_clients_make_up_make_no_series_without_end(native: Metered) -> None:
    before = native.fetch().sum("tollgate_calls_total")
    refused: list[int] = []

    def ask_many(thread: int) -> None:
        connection = native.connect()
        for number in range(5_000):
            # Half of them are served, under the name that the client has made up.
            name = f"any-{thread}-{number}" if number % 2 else f"none-{thread}-{number}"
            status = ask_on(connection, name, "/v1/chat/completions", max_tokens=1)
            if status not in (200, 404):
                refused.append(status)
        connection.close()

    threads = [threading.Thread(target=ask_many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    numbers = native.until(lambda numbers: numbers.sum("tollgate_calls_total") == before + 20_000)
    for family in numbers.families.values():
        models = {
            sample.labels.get(label)
            for sample in family.samples
            for label in ("model", "upstream_model", "request_llm_model", "llm_model")
        }
        assert len(models) < 520, family.name
    assert numbers.sum("tollgate_calls_total", model="other") > 18_000
    assert numbers.sum("apisix_http_status", request_llm_model="other") > 18_000
    assert numbers.sum("tollgate_calls_total") == numbers.sum("apisix_http_status")


#: What may have no value: the configuration has not changed, and whether prices are known is not told by these calls.
WITHOUT_A_VALUE = {
    "tollgate_config_last_change_timestamp_seconds",
    "tollgate_cost_usd_total",
    "tollgate_unknown_prices_total",
}

#: Labels that Prometheus adds by itself.
OF_PROMETHEUS = {"instance", "job", "le"}


def test_the_dashboard_shows_what_is_there(native: Metered, apisix: Metered) -> None:
    native.ask("known", stream=True)
    native.ask("no-such-model")
    apisix.ask("asked", "/chat")
    there = [native.fetch(), apisix.fetch()]
    dashboard = json.loads((ROOT / "deploy/grafana/tollgate.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    shown += [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    shown += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    assert len(shown) > 40
    for expression in shown:
        names = set(re.findall(r"\b(?:tollgate|apisix|process)_[a-z_]+", expression))
        assert names, expression
        labels = set(re.findall(r"(\w+)\s*[=!]~?\"", expression))
        for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
            labels |= {label.strip() for label in grouped.split(",")}
        labels |= set(re.findall(r"label_values\([^,]+, (\w+)\)", expression))
        for name in names:
            is_there = [numbers for numbers in there if numbers.series(name)]
            if name in WITHOUT_A_VALUE and not is_there:
                continue
            assert is_there, f"{name} is not told, of {expression}"
            known = set().union(*(numbers.labels_of(name) for numbers in is_there))
            assert labels - OF_PROMETHEUS <= known, f"{name} has no {labels - known - OF_PROMETHEUS}: {expression}"
