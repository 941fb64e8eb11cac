"""OpenAI Chat Completions. Thinking is told as the vendors compatible with it do: `reasoning_content`, without a seal."""

import json
from collections.abc import Iterator

from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter

from upstream import Answer, Received, json_answer

from ..talk import Asked, Call, Reply
from .base import Provider, event, halves

REQUEST = TypeAdapter(CompletionCreateParams)


class OpenAiChat(Provider):
    name = "openai"
    model = "gpt-5-mini"

    def asked(self, received: Received) -> Asked:
        assert received.path == "/v1/chat/completions", received.path
        assert received.headers["authorization"] == "Bearer upstream-key"
        body = received.json
        REQUEST.validate_python(body)
        asked = Asked(model=body["model"], stream=body.get("stream", False))
        for message in body["messages"]:
            content = message.get("content") or []
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            text = "".join(part["text"] for part in parts if part["type"] == "text")
            match message["role"]:
                case "system" | "developer":
                    asked.system += text
                case "user":
                    asked.texts += [text] if text else []
                    for part in parts:
                        if part["type"] == "image_url":
                            media, data = part["image_url"]["url"].removeprefix("data:").split(";base64,")
                            asked.images.append((media, data))
                case "tool":
                    asked.results.append((message["tool_call_id"], text))
                case "assistant":
                    for call in message.get("tool_calls", []):
                        function = call["function"]
                        asked.calls.append(Call(function["name"], json.loads(function["arguments"]), call["id"]))
        for tool in body.get("tools", []):
            asked.tools[tool["function"]["name"]] = tool["function"]["parameters"]
        if body.get("response_format", {}).get("type") == "json_schema":
            asked.schema = body["response_format"]["json_schema"]["schema"]
        asked.thinking = body.get("reasoning_effort", "none") != "none"
        return asked

    def usage(self, reply: Reply) -> dict:
        usage = reply.usage
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }

    def finish(self, reply: Reply) -> str:
        return "length" if reply.cut else "tool_calls" if reply.calls else "stop"

    def calls(self, reply: Reply) -> list[dict]:
        return [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in reply.calls
        ]

    def whole(self, reply: Reply) -> object:
        message: dict = {"role": "assistant", "content": reply.text or None, "refusal": None}
        if reply.calls:
            message["tool_calls"] = self.calls(reply)
        if reply.thinking:
            message["reasoning_content"] = reply.thinking
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1760000000,
            "model": "gpt-5-mini-2025-08-07",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish(reply)}],
            "usage": self.usage(reply),
        }

    def events(self, reply: Reply) -> Iterator[bytes]:
        def chunk(delta: dict, finish: str | None = None) -> bytes:
            return event(base | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})

        base = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1760000000,
            "model": "gpt-5-mini-2025-08-07",
        }
        yield chunk({"role": "assistant", "content": ""})
        for piece in filter(None, halves(reply.thinking)):
            yield chunk({"reasoning_content": piece})
        for piece in filter(None, halves(reply.text)):
            yield chunk({"content": piece})
        for index, call in enumerate(self.calls(reply)):
            arguments = call["function"]["arguments"]
            call["function"] = {"name": call["function"]["name"], "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, **call}]})
            for piece in halves(arguments):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, self.finish(reply))
        yield event(base | {"choices": [], "usage": self.usage(reply)})
        yield b"data: [DONE]\n\n"

    def failure(self) -> Answer:
        error = {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        return json_answer({"error": error}, 429, **{"retry-after": "7"})
