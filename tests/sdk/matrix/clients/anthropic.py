"""The `anthropic` package."""

import anthropic

from ..talk import Call, Refused, Reply, Usage
from .base import MAX_TOKENS, THINKING_TOKENS, Conversation


class AnthropicConversation(Conversation):
    too_often = "RateLimitError"

    def connect(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key=self.key, max_retries=0, timeout=60)

    def user(self, text: str, image: str | None = None) -> None:
        content: list = [{"type": "text", "text": text}]
        if image:
            source = {"type": "base64", "media_type": "image/png", "data": image}
            content.append({"type": "image", "source": source})
        self.history.append({"role": "user", "content": content})

    def results(self, results: list[tuple[Call, str]]) -> None:
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in results]
        self.history.append({"role": "user", "content": blocks})

    def arguments(self) -> dict:
        arguments: dict = {"model": self.model, "messages": self.history, "max_tokens": MAX_TOKENS}
        if self.system:
            arguments["system"] = self.system
        if self.tools:
            arguments["tools"] = [
                {"name": name, "description": name, "input_schema": schema} for name, schema in self.tools.items()
            ]
        if self.schema:
            arguments["output_config"] = {"format": {"type": "json_schema", "schema": self.schema}}
        if self.thinking:
            arguments["thinking"] = {"type": "enabled", "budget_tokens": THINKING_TOKENS}
        return arguments

    def ask(self, stream: bool) -> Reply:
        try:
            if not stream:
                message = self.client.messages.create(**self.arguments())
            else:
                with self.client.messages.stream(**self.arguments()) as events:
                    message = events.get_final_message()
        except anthropic.APIStatusError as error:
            raise Refused(error.status_code, type(error).__name__, error.message) from error
        known = {"parsed_output"}
        content = [block.model_dump(exclude_none=True, exclude=known) for block in message.content]
        self.history.append({"role": "assistant", "content": content})
        usage = message.usage
        read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        details = usage.output_tokens_details
        return Reply(
            text="".join(block.text for block in message.content if block.type == "text"),
            calls=tuple(
                Call(block.name, block.input, block.id) for block in message.content if block.type == "tool_use"
            ),
            thinking="".join(block.thinking for block in message.content if block.type == "thinking"),
            usage=Usage(
                usage.input_tokens + read + written,
                usage.output_tokens,
                read,
                (details and details.thinking_tokens) or 0,
            ),
            cut=message.stop_reason == "max_tokens",
        )

    def begin(self) -> None:
        stream = self.client.messages.create(**self.arguments(), stream=True)
        next(iter(stream))
        stream.close()
