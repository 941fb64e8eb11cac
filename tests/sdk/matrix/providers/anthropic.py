"""Anthropic Messages."""

import json
from collections.abc import Iterator

from anthropic.types.message_create_params import MessageCreateParams
from pydantic import TypeAdapter

from upstream import Answer, Received, json_answer

from ..talk import Asked, Call, Reply
from .base import Provider, event, halves

REQUEST = TypeAdapter(MessageCreateParams)


class Anthropic(Provider):
    name = "anthropic"
    model = "claude-sonnet-4-5"
    seals = True

    def asked(self, received: Received) -> Asked:
        assert received.path == "/v1/messages", received.path
        assert received.headers["x-api-key"] == "upstream-key"
        body = received.json
        REQUEST.validate_python(body)
        asked = Asked(model=body["model"], stream=body.get("stream", False), system=text_of(body.get("system", "")))
        for message in body["messages"]:
            for block in blocks_of(message["content"]):
                match block["type"]:
                    case "text" if message["role"] == "user":
                        asked.texts.append(block["text"])
                    case "image":
                        asked.images.append((block["source"]["media_type"], block["source"]["data"]))
                    case "tool_use":
                        asked.calls.append(Call(block["name"], block["input"], block["id"]))
                    case "tool_result":
                        asked.results.append((block["tool_use_id"], text_of(block["content"])))
                    case "thinking":
                        asked.proofs.append(block["signature"])
        for tool in body.get("tools", []):
            asked.tools[tool["name"]] = tool["input_schema"]
        form = body.get("output_config", {}).get("format")
        asked.schema = form["schema"] if form else None
        asked.thinking = body.get("thinking", {}).get("type", "disabled") != "disabled"
        return asked

    def usage(self, reply: Reply) -> dict:
        usage = reply.usage
        return {
            "input_tokens": usage.input - usage.cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached,
            "output_tokens": usage.output,
            "output_tokens_details": {"thinking_tokens": usage.reasoning},
        }

    def blocks(self, reply: Reply) -> list[dict]:
        blocks: list[dict] = []
        if reply.thinking or reply.proof:
            blocks.append({"type": "thinking", "thinking": reply.thinking, "signature": reply.proof})
        if reply.text:
            blocks.append({"type": "text", "text": reply.text})
        blocks += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in reply.calls
        ]
        return blocks

    def stop(self, reply: Reply) -> str:
        return "max_tokens" if reply.cut else "tool_use" if reply.calls else "end_turn"

    def whole(self, reply: Reply) -> dict:
        return {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": self.blocks(reply),
            "stop_reason": self.stop(reply),
            "stop_sequence": None,
            "usage": self.usage(reply),
        }

    def events(self, reply: Reply) -> Iterator[bytes]:
        def told(kind: str, **members: object) -> bytes:
            return event({"type": kind, **members}, kind)

        usage = self.usage(reply)
        begun = self.whole(reply) | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
        yield told("message_start", message=begun)
        for index, block in enumerate(self.blocks(reply)):
            match block["type"]:
                case "thinking":
                    empty = {"type": "thinking", "thinking": "", "signature": ""}
                    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in halves(block["thinking"])]
                    deltas.append({"type": "signature_delta", "signature": block["signature"]})
                case "text":
                    empty = {"type": "text", "text": ""}
                    deltas = [{"type": "text_delta", "text": piece} for piece in halves(block["text"])]
                case _:
                    empty = block | {"input": {}}
                    pieces = halves(json.dumps(block["input"]))
                    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
            yield told("content_block_start", index=index, content_block=empty)
            yield told("ping")
            for delta in deltas:
                yield told("content_block_delta", index=index, delta=delta)
            yield told("content_block_stop", index=index)
        yield told("message_delta", delta={"stop_reason": self.stop(reply), "stop_sequence": None}, usage=usage)
        yield told("message_stop")

    def failure(self) -> Answer:
        error = {"type": "rate_limit_error", "message": "Slow down."}
        return json_answer({"type": "error", "error": error, "request_id": "req_1"}, 429, **{"retry-after": "7"})


def blocks_of(content: str | list) -> list[dict]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(content: str | list) -> str:
    return "".join(block["text"] for block in blocks_of(content))
