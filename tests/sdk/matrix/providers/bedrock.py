"""Amazon Bedrock's Converse."""

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator
from urllib.parse import unquote

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.validate import ParamValidator

from upstream import Answer, Received, json_answer

from ..talk import Asked, Call, Reply
from .base import Provider, halves

SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")
PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream)")


class Bedrock(Provider):
    name = "bedrock"
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    seals = True
    tells_reasoning = False

    def asked(self, received: Received) -> Asked:
        found = PATH.fullmatch(received.path)
        assert found, received.path
        assert received.headers["authorization"] == "Bearer upstream-key"
        body = received.json
        shape = SERVICE.operation_model("Converse").input_shape
        assert "modelId" not in body
        problems = ParamValidator().validate(native(body, shape, "body") | {"modelId": unquote(found[1])}, shape)
        assert not problems.has_errors(), problems.generate_report()
        asked = Asked(model=unquote(found[1]), stream=found[2] == "converse-stream")
        asked.system = "".join(block.get("text", "") for block in body.get("system", []))
        before = None
        for message in body["messages"]:
            assert message["role"] != before, "the roles must alternate"
            before = message["role"]
            for block in message["content"]:
                ((kind, inside),) = block.items()
                match kind:
                    case "text" if message["role"] == "user":
                        asked.texts.append(inside)
                    case "image":
                        asked.images.append((f"image/{inside['format']}", inside["source"]["bytes"]))
                    case "toolUse":
                        asked.calls.append(Call(inside["name"], inside["input"], inside["toolUseId"]))
                    case "toolResult":
                        text = "".join(
                            part["text"] if "text" in part else json.dumps(part["json"]) for part in inside["content"]
                        )
                        asked.results.append((inside["toolUseId"], text))
                    case "reasoningContent":
                        asked.proofs.append(inside["reasoningText"]["signature"])
        for tool in body.get("toolConfig", {}).get("tools", []):
            asked.tools[tool["toolSpec"]["name"]] = tool["toolSpec"]["inputSchema"]["json"]
        form = body.get("outputConfig", {}).get("textFormat")
        asked.schema = json.loads(form["structure"]["jsonSchema"]["schema"]) if form else None
        thinking = body.get("additionalModelRequestFields", {}).get("thinking", {})
        asked.thinking = thinking.get("type", "disabled") != "disabled"
        return asked

    def blocks(self, reply: Reply) -> list[dict]:
        blocks: list[dict] = []
        if reply.thinking or reply.proof:
            text = {"text": reply.thinking, "signature": reply.proof}
            blocks.append({"reasoningContent": {"reasoningText": text}})
        if reply.text:
            blocks.append({"text": reply.text})
        blocks += [
            {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}} for call in reply.calls
        ]
        return blocks

    def stop(self, reply: Reply) -> str:
        return "max_tokens" if reply.cut else "tool_use" if reply.calls else "end_turn"

    def usage(self, reply: Reply) -> dict:
        usage = reply.usage
        return {
            "inputTokens": usage.input - usage.cached,
            "outputTokens": usage.output,
            "totalTokens": usage.input + usage.output,
            "cacheReadInputTokens": usage.cached,
            "cacheWriteInputTokens": 0,
        }

    def whole(self, reply: Reply) -> object:
        return {
            "metrics": {"latencyMs": 5},
            "output": {"message": {"role": "assistant", "content": self.blocks(reply)}},
            "stopReason": self.stop(reply),
            "usage": self.usage(reply),
        }

    def stream(self, reply: Reply) -> Answer:
        return Answer(200, {"content-type": "application/vnd.amazon.eventstream"}, list(self.events(reply)))

    def events(self, reply: Reply) -> Iterator[bytes]:
        yield frame("messageStart", {"role": "assistant"})
        for index, block in enumerate(self.blocks(reply)):
            ((kind, inside),) = block.items()
            place = {"contentBlockIndex": index}
            match kind:
                case "text":
                    deltas = [{"text": piece} for piece in halves(inside)]
                case "reasoningContent":
                    text = inside["reasoningText"]
                    deltas = [{"reasoningContent": {"text": piece}} for piece in halves(text["text"])]
                    deltas.append({"reasoningContent": {"signature": text["signature"]}})
                case _:
                    start = {"toolUse": {"toolUseId": inside["toolUseId"], "name": inside["name"]}}
                    yield frame("contentBlockStart", place | {"start": start})
                    deltas = [{"toolUse": {"input": piece}} for piece in halves(json.dumps(inside["input"]))]
            for delta in deltas:
                yield frame("contentBlockDelta", place | {"delta": delta, "p": "abcdefgh"})
            yield frame("contentBlockStop", place)
        yield frame("messageStop", {"stopReason": self.stop(reply)})
        yield frame("metadata", {"usage": self.usage(reply), "metrics": {"latencyMs": 5}})

    def failure(self) -> Answer:
        return json_answer(
            {"message": "Slow down."}, 429, **{"x-amzn-errortype": "ThrottlingException:http://internal/"}
        )


def frame(name: str, payload: dict) -> bytes:
    """A message of Amazon's event streams."""
    headers = b"".join(
        bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(value)) + value
        for key, value in (
            (b":event-type", name.encode()),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        )
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def native(value: object, shape: Shape, place: str) -> object:
    """A JSON value as boto3 takes it: bytes where the wire has base64. Fails at members that Amazon does not know."""
    match shape:
        case StructureShape() if getattr(shape, "is_document_type", False):
            return value
        case StructureShape():
            unknown = value.keys() - shape.members.keys()
            assert not unknown, f"{place} has unknown members {unknown}"
            return {name: native(item, shape.members[name], f"{place}.{name}") for name, item in value.items()}
        case ListShape():
            return [native(item, shape.member, f"{place}[]") for item in value]
        case MapShape():
            return {key: native(item, shape.value, f"{place}.{key}") for key, item in value.items()}
        case Shape(type_name="blob"):
            return base64.b64decode(value, validate=True)
    return value
