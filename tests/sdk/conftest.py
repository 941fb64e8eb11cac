"""What every test needs: a mock provider, a gateway in front of it, and the two SDKs in front of the gateway."""

import os
from collections.abc import Iterator

import pytest

# The SDKs take keys and addresses from the environment; these tests are to be the same on every machine.
for name in list(os.environ):
    if name.startswith(("OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "CO_", "COHERE_", "AWS_")) or name.lower().endswith("_proxy"):
        del os.environ[name]

import anthropic  # noqa: E402
import openai  # noqa: E402

from gateway import Gateway  # noqa: E402
from upstream import Upstream  # noqa: E402

CONFIG = """
models:
  oa: {{provider: openai, model: gpt-4.1-mini}}
  oa-reasoning: {{provider: openai, model: gpt-5-mini}}
  an: {{provider: anthropic, model: claude-sonnet-4-5}}
  an-adaptive: {{provider: anthropic, model: claude-opus-5}}
  sim: {{provider: simulated}}
providers:
  openai: {{endpoint: "{url}/v1", key: openai-upstream-key, dialects: [openai_chat, openai_embeddings]}}
  anthropic: {{endpoint: "{url}/v1", key: anthropic-upstream-key}}
consumers:
  everything: {{key: client-key, models: ["*"]}}
  only-oa: {{key: limited-key, models: [oa]}}
server:
  access_log: {{path: "off"}}
  drain: 5s
"""

CLIENT_KEY = "client-key"
LIMITED_KEY = "limited-key"


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="session")
def gateway(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway of all tests; that it stops in good order is checked after the last one."""
    config = tmp_path_factory.mktemp("gateway") / "tollgate.yaml"
    config.write_text(CONFIG.format(url=f"http://127.0.0.1:{shared_upstream.port}"))
    gateway = Gateway(config)
    yield gateway
    gateway.stop()


@pytest.fixture
def upstream(shared_upstream: Upstream, gateway: Gateway) -> Iterator[Upstream]:
    """The mock provider, without memory of earlier tests."""
    shared_upstream.reset()
    yield shared_upstream
    assert shared_upstream.unused_answers == 0, "the gateway asked the provider less often than the test expects"


@pytest.fixture
def openai_client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai_client_of(gateway) as client:
        yield client


@pytest.fixture
def anthropic_client(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic_client_of(gateway) as client:
        yield client


def openai_client_of(gateway: Gateway, key: str = CLIENT_KEY) -> openai.OpenAI:
    """A client as an application would make it, but without retries, which would hide failures."""
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=60)


def anthropic_client_of(gateway: Gateway, key: str = CLIENT_KEY) -> anthropic.Anthropic:
    """A client as an application would make it, but without retries, which would hide failures."""
    return anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0, timeout=60)
