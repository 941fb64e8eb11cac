"""The `cohere` package's chat of version 2."""

import json

import cohere
import httpx
from cohere.core.api_error import ApiError

from ..talk import Call, Refused, Reply, Usage
from .base import MAX_TOKENS, THINKING_TOKENS, Conversation


class CohereConversation(Conversation):
    too_often = "TooManyRequestsError"
    tells_reasoning = False

    def connect(self) -> cohere.ClientV2:
        # A client that the SDK makes itself cannot be closed.
        self.http = httpx.Client(timeout=60)
        return cohere.ClientV2(api_key=self.key, base_url=self.url, max_retries=0, httpx_client=self.http)

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def user(self, text: str, image: str | None = None) -> None:
        content: list = [{"type": "text", "text": text}]
        if image:
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}})
        self.history.append({"role": "user", "content": content if image else text})

    def results(self, results: list[tuple[Call, str]]) -> None:
        self.history += [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in results]

    def arguments(self) -> dict:
        system = [{"role": "system", "content": self.system}] if self.system else []
        arguments: dict = {"model": self.model, "messages": [*system, *self.history], "max_tokens": MAX_TOKENS}
        if self.tools:
            arguments["tools"] = [
                {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}
                for name, schema in self.tools.items()
            ]
        if self.schema:
            arguments["response_format"] = {"type": "json_object", "json_schema": self.schema}
        if self.thinking:
            arguments["thinking"] = {"type": "enabled", "token_budget": THINKING_TOKENS}
        return arguments

    def ask(self, stream: bool) -> Reply:
        try:
            if stream:
                content, calls, finish, usage = collected(self.client.chat_stream(**self.arguments()))
            else:
                answer = self.client.chat(**self.arguments())
                content = [part.model_dump(exclude_none=True) for part in answer.message.content or []]
                calls = [call.model_dump(exclude_none=True) for call in answer.message.tool_calls or []]
                finish, usage = answer.finish_reason, answer.usage
        except ApiError as error:
            raise Refused(error.status_code, type(error).__name__, str(error.body)) from error
        message: dict = {"role": "assistant"}
        if content:
            message["content"] = content
        if calls:
            message["tool_calls"] = calls
        self.history.append(message)
        return Reply(
            text="".join(part.get("text", "") for part in content),
            calls=tuple(
                Call(call["function"]["name"], json.loads(call["function"]["arguments"]), call["id"])
                for call in calls
            ),
            thinking="".join(part.get("thinking", "") for part in content),
            usage=Usage(
                int(usage.tokens.input_tokens), int(usage.tokens.output_tokens), int(usage.cached_tokens or 0)
            ),
            cut=finish == "MAX_TOKENS",
        )

    def begin(self) -> None:
        stream = self.client.chat_stream(**self.arguments())
        next(stream)
        stream.close()


def collected(events: object) -> tuple[list[dict], list[dict], str, object]:
    """A streamed message, put together as applications do."""
    content: dict[int, dict] = {}
    calls: dict[int, dict] = {}
    finish, usage = "", None
    for event in events:
        match event.type:
            case "content-start":
                content[event.index] = event.delta.message.content.model_dump(exclude_none=True)
            case "content-delta":
                for name, piece in event.delta.message.content.model_dump(exclude_none=True).items():
                    content[event.index][name] = content[event.index].get(name, "") + piece
            case "tool-call-start":
                calls[event.index] = event.delta.message.tool_calls.model_dump(exclude_none=True)
            case "tool-call-delta":
                piece = event.delta.message.tool_calls.function.arguments
                calls[event.index]["function"]["arguments"] += piece
            case "message-end":
                finish, usage = event.delta.finish_reason, event.delta.usage
    return [content[i] for i in sorted(content)], [calls[i] for i in sorted(calls)], finish, usage
