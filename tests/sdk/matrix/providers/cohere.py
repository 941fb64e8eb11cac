"""Cohere's Chat v2."""

import json
from collections.abc import Iterator

import cohere
from pydantic import TypeAdapter

from upstream import Answer, Received, json_answer

from ..talk import Asked, Call, Reply
from .base import Provider, event, halves

MESSAGES = TypeAdapter(list[cohere.ChatMessageV2])
TOOLS = TypeAdapter(list[cohere.ToolV2])

KNOWN = {
    "model",
    "messages",
    "tools",
    "strict_tools",
    "documents",
    "citation_options",
    "response_format",
    "safety_mode",
    "max_tokens",
    "stop_sequences",
    "temperature",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "k",
    "p",
    "logprobs",
    "tool_choice",
    "thinking",
    "priority",
    "stream",
}


class Cohere(Provider):
    name = "cohere"
    model = "command-a-reasoning-08-2025"
    tells_reasoning = False

    def asked(self, received: Received) -> Asked:
        assert received.path == "/v2/chat", received.path
        assert received.headers["authorization"] == "Bearer upstream-key"
        body = received.json
        assert body.keys() <= KNOWN, body.keys() - KNOWN
        MESSAGES.validate_python(body["messages"])
        TOOLS.validate_python(body.get("tools", []))
        asked = Asked(model=body["model"], stream=body.get("stream", False))
        for message in body["messages"]:
            content = message.get("content") or []
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            text = "".join(part["text"] for part in parts if part["type"] == "text")
            match message["role"]:
                case "system":
                    asked.system += text
                case "user":
                    asked.texts += [text] if text else []
                    for part in parts:
                        if part["type"] == "image_url":
                            media, data = part["image_url"]["url"].removeprefix("data:").split(";base64,")
                            asked.images.append((media, data))
                case "assistant":
                    for call in message.get("tool_calls", []):
                        function = call["function"]
                        asked.calls.append(Call(function["name"], json.loads(function["arguments"]), call["id"]))
                case "tool":
                    documents = [document_text(part) for part in parts]
                    asked.results.append((message["tool_call_id"], "".join(documents)))
        for tool in body.get("tools", []):
            asked.tools[tool["function"]["name"]] = tool["function"]["parameters"]
        if body.get("response_format", {}).get("type") == "json_object":
            asked.schema = body["response_format"].get("json_schema")
        asked.thinking = body.get("thinking", {}).get("type") == "enabled"
        return asked

    def usage(self, reply: Reply) -> dict:
        counts = {"input_tokens": reply.usage.input, "output_tokens": reply.usage.output}
        return {"billed_units": counts, "tokens": counts, "cached_tokens": reply.usage.cached}

    def finish(self, reply: Reply) -> str:
        return "MAX_TOKENS" if reply.cut else "TOOL_CALL" if reply.calls else "COMPLETE"

    def content(self, reply: Reply) -> list[dict]:
        content = [{"type": "thinking", "thinking": reply.thinking}] if reply.thinking else []
        return content + ([{"type": "text", "text": reply.text}] if reply.text else [])

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
        message: dict = {"role": "assistant"}
        if content := self.content(reply):
            message["content"] = content
        if reply.calls:
            message["tool_calls"] = self.calls(reply)
        return {"id": "c1", "message": message, "finish_reason": self.finish(reply), "usage": self.usage(reply)}

    def events(self, reply: Reply) -> Iterator[bytes]:
        def told(kind: str, index: int | None = None, message: dict | None = None, **members: object) -> bytes:
            data: dict = {"type": kind, **members}
            if index is not None:
                data["index"] = index
            if message is not None:
                data["delta"] = {"message": message}
            return event(data, kind)

        empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield told("message-start", message=empty, id="c1")
        for index, part in enumerate(self.content(reply)):
            kind = part["type"]
            yield told("content-start", index, {"content": {"type": kind, kind: ""}})
            for piece in halves(part[kind]):
                yield told("content-delta", index, {"content": {kind: piece}})
            yield told("content-end", index)
        for index, call in enumerate(self.calls(reply)):
            arguments = call["function"]["arguments"]
            call["function"] = {"name": call["function"]["name"], "arguments": ""}
            yield told("tool-call-start", index, {"tool_calls": call})
            for piece in halves(arguments):
                yield told("tool-call-delta", index, {"tool_calls": {"function": {"arguments": piece}}})
            yield told("tool-call-end", index)
        end = {"finish_reason": self.finish(reply), "usage": self.usage(reply)}
        yield event({"type": "message-end", "delta": end}, "message-end")
        yield b"data: [DONE]\n\n"

    def failure(self) -> Answer:
        return json_answer({"id": "e1", "message": "Slow down."}, 429, **{"retry-after": "7"})


def document_text(part: dict) -> str:
    """The text of a tool's result, which may be a document."""
    if part["type"] == "text":
        return part["text"]
    data = part["document"]["data"]
    if isinstance(data, str):
        return data
    (text,) = data.values()
    return text
