"""OpenAI Responses."""

import json
from collections.abc import Iterator

from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import TypeAdapter

from upstream import Answer, Received, json_answer

from ..talk import Asked, Call, Reply
from .base import Provider, event, halves

REQUEST = TypeAdapter(ResponseCreateParams)


class OpenAiResponses(Provider):
    name = "responses"
    model = "gpt-5-mini"
    seals = True

    def asked(self, received: Received) -> Asked:
        assert received.path == "/v1/responses", received.path
        assert received.headers["authorization"] == "Bearer upstream-key"
        body = received.json
        REQUEST.validate_python(body)
        assert "previous_response_id" not in body
        asked = Asked(model=body["model"], stream=body.get("stream", False), system=body.get("instructions") or "")
        items = body["input"]
        for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
            match item.get("type", "message"):
                case "message":
                    content = item["content"]
                    kind = "output_text" if item["role"] == "assistant" else "input_text"
                    parts = [{"type": kind, "text": content}] if isinstance(content, str) else content
                    text = "".join(part["text"] for part in parts if part["type"] == kind)
                    if item["role"] in ("system", "developer"):
                        asked.system += text
                    if item["role"] == "user":
                        asked.texts += [text] if text else []
                    for part in parts:
                        if part["type"] == "input_image":
                            media, data = part["image_url"].removeprefix("data:").split(";base64,")
                            asked.images.append((media, data))
                case "function_call":
                    asked.calls.append(Call(item["name"], json.loads(item["arguments"]), item["call_id"]))
                case "function_call_output":
                    output = item["output"]
                    text = output if isinstance(output, str) else "".join(part["text"] for part in output)
                    asked.results.append((item["call_id"], text))
                case "reasoning":
                    asked.proofs.append(item["encrypted_content"])
                case other:
                    raise AssertionError(f"an item of type {other}")
        for tool in body.get("tools", []):
            assert tool["type"] == "function"
            asked.tools[tool["name"]] = tool["parameters"]
        form = (body.get("text") or {}).get("format") or {}
        if form.get("type") == "json_schema":
            asked.schema = form["schema"]
        asked.thinking = (body.get("reasoning") or {}).get("effort", "none") != "none"
        return asked

    def items(self, reply: Reply) -> list[dict]:
        items: list[dict] = []
        if reply.thinking or reply.proof:
            summary = [{"type": "summary_text", "text": reply.thinking}] if reply.thinking else []
            sealed = {"encrypted_content": reply.proof} if reply.proof else {}
            items.append({"id": "rs_1", "type": "reasoning", "summary": summary, **sealed})
        if reply.text:
            text = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
            items.append(
                {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [text]}
            )
        for index, call in enumerate(reply.calls):
            items.append(
                {
                    "id": f"fc_{index}",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": call.id,
                    "name": call.name,
                    "arguments": json.dumps(call.arguments),
                }
            )
        return items

    def whole(self, reply: Reply) -> dict:
        usage = reply.usage
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1760000000,
            "status": "incomplete" if reply.cut else "completed",
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if reply.cut else None,
            "instructions": None,
            "metadata": {},
            "model": "gpt-5-mini-2025-08-07",
            "output": self.items(reply),
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": {
                "input_tokens": usage.input,
                "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.input + usage.output,
            },
        }

    def events(self, reply: Reply) -> Iterator[bytes]:
        number = 0

        def told(kind: str, **members: object) -> bytes:
            nonlocal number
            data = {"type": kind, "sequence_number": number, **members}
            number += 1
            return event(data, kind)

        whole = self.whole(reply)
        begun = whole | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        yield told("response.created", response=begun)
        yield told("response.in_progress", response=begun)
        for index, item in enumerate(whole["output"]):
            place = {"item_id": item["id"], "output_index": index}
            match item["type"]:
                case "reasoning":
                    yield told("response.output_item.added", output_index=index, item=item | {"summary": []})
                    for part in item["summary"]:
                        inside = place | {"summary_index": 0}
                        empty = part | {"text": ""}
                        yield told("response.reasoning_summary_part.added", **inside, part=empty)
                        for piece in halves(part["text"]):
                            yield told("response.reasoning_summary_text.delta", **inside, delta=piece)
                        yield told("response.reasoning_summary_text.done", **inside, text=part["text"])
                        yield told("response.reasoning_summary_part.done", **inside, part=part)
                case "message":
                    begun_item = item | {"status": "in_progress", "content": []}
                    yield told("response.output_item.added", output_index=index, item=begun_item)
                    (part,) = item["content"]
                    inside = place | {"content_index": 0}
                    yield told("response.content_part.added", **inside, part=part | {"text": ""})
                    for piece in halves(part["text"]):
                        yield told("response.output_text.delta", **inside, delta=piece, logprobs=[])
                    yield told("response.output_text.done", **inside, text=part["text"], logprobs=[])
                    yield told("response.content_part.done", **inside, part=part)
                case "function_call":
                    begun_item = item | {"status": "in_progress", "arguments": ""}
                    yield told("response.output_item.added", output_index=index, item=begun_item)
                    for piece in halves(item["arguments"]):
                        yield told("response.function_call_arguments.delta", **place, delta=piece)
                    yield told("response.function_call_arguments.done", **place, arguments=item["arguments"])
            yield told("response.output_item.done", output_index=index, item=item)
        yield told("response.incomplete" if reply.cut else "response.completed", response=whole)

    def failure(self) -> Answer:
        error = {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        return json_answer({"error": error}, 429, **{"retry-after": "7"})
