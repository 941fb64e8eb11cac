"""The official SDKs, one file each."""

from .anthropic import AnthropicConversation
from .base import Conversation
from .bedrock import BedrockConversation
from .cohere import CohereConversation
from .gemini import GeminiConversation
from .openai_chat import ChatConversation
from .openai_responses import ResponsesConversation

CLIENTS: dict[str, type[Conversation]] = {
    "openai": ChatConversation,
    "responses": ResponsesConversation,
    "anthropic": AnthropicConversation,
    "gemini": GeminiConversation,
    "bedrock": BedrockConversation,
    "cohere": CohereConversation,
}

__all__ = ["CLIENTS", "Conversation"]
