"""Mock providers, one for each kind."""

from .anthropic import Anthropic
from .base import Provider
from .bedrock import Bedrock
from .cohere import Cohere
from .gemini import Gemini
from .openai_chat import OpenAiChat
from .openai_responses import OpenAiResponses

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (OpenAiChat(), OpenAiResponses(), Anthropic(), Gemini(), Bedrock(), Cohere())
}

__all__ = ["PROVIDERS", "Provider"]
