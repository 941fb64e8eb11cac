"""Google's Gemini API."""

import base64
import re
from collections.abc import Iterator

from google.genai import types
from pydantic import TypeAdapter

from upstream import Answer, Received, json_answer

from ..talk import Asked, Call, Reply
from .base import Provider, event, halves

CONTENTS = TypeAdapter(list[types.Content])
TOOLS = TypeAdapter(list[types.Tool])

PATH = re.compile(r"/v1(?:beta)?/models/([^/:]+):(generateContent|streamGenerateContent\?alt=sse)")

#: What Google documents as the seal of a call that another model made.
PLACEHOLDER = "skip_thought_signature_validator"


class Gemini(Provider):
    name = "gemini"
    model = "gemini-3-pro-preview"
    seals = True

    def asked(self, received: Received) -> Asked:
        found = PATH.fullmatch(received.path)
        assert found, received.path
        assert received.headers["x-goog-api-key"] == "upstream-key"
        body = camel(received.json)
        known = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
        assert body.keys() <= known, body.keys()
        CONTENTS.validate_python(body["contents"])
        TOOLS.validate_python(body.get("tools", []))
        types.ToolConfig.model_validate(body.get("toolConfig", {}))
        types.GenerationConfig.model_validate(body.get("generationConfig", {}))
        asked = Asked(model=found[1], stream=found[2].startswith("stream"))
        if "systemInstruction" in body:
            types.Content.model_validate(body["systemInstruction"])
            asked.system = "".join(part["text"] for part in body["systemInstruction"]["parts"])
        for content in body["contents"]:
            assert content["role"] in ("user", "model")
            for part in content["parts"]:
                seal = part.get("thoughtSignature")
                if seal and base64.b64decode(seal) != base64.b64decode(PLACEHOLDER + "=", altchars=b"-_"):
                    asked.proofs.append(seal)
                if "inlineData" in part:
                    asked.images.append((part["inlineData"]["mimeType"], part["inlineData"]["data"]))
                elif "functionCall" in part:
                    call = part["functionCall"]
                    asked.calls.append(Call(call["name"], call.get("args", {}), call.get("id", "")))
                elif "functionResponse" in part:
                    result = part["functionResponse"]
                    (text,) = result["response"].values()
                    asked.results.append((result.get("id", ""), text))
                elif content["role"] == "user":
                    asked.texts.append(part["text"])
        for tool in body.get("tools", []):
            for function in tool["functionDeclarations"]:
                asked.tools[function["name"]] = function["parametersJsonSchema"]
        config = body.get("generationConfig", {})
        asked.schema = config.get("responseJsonSchema")
        asked.thinking = "thinkingConfig" in config
        return asked

    def parts(self, reply: Reply) -> list[dict]:
        parts: list[dict] = []
        if reply.thinking:
            parts.append({"text": reply.thinking, "thought": True})
        if reply.text:
            parts.append({"text": reply.text})
        parts += [
            {"functionCall": {"name": call.name, "args": call.arguments, "id": call.id}} for call in reply.calls
        ]
        if reply.proof:
            signed = next(part for part in parts if "functionCall" in part or not part.get("thought"))
            if reply.calls:
                signed = next(part for part in parts if "functionCall" in part)
            signed["thoughtSignature"] = reply.proof
        return parts

    def document(self, parts: list[dict], reply: Reply, end: bool = True) -> dict:
        usage = reply.usage
        counts = {
            "promptTokenCount": usage.input,
            "candidatesTokenCount": usage.output - usage.reasoning,
            "totalTokenCount": usage.input + usage.output,
        }
        if usage.cached:
            counts["cachedContentTokenCount"] = usage.cached
        if usage.reasoning:
            counts["thoughtsTokenCount"] = usage.reasoning
        candidate: dict = {"content": {"role": "model", "parts": parts}, "index": 0}
        if end:
            candidate["finishReason"] = "MAX_TOKENS" if reply.cut else "STOP"
        return {
            "candidates": [candidate],
            "usageMetadata": counts,
            "modelVersion": "gemini-3-pro-preview",
            "responseId": "r1",
        }

    def whole(self, reply: Reply) -> object:
        return self.document(self.parts(reply), reply)

    def events(self, reply: Reply) -> Iterator[bytes]:
        for part in self.parts(reply):
            if "text" in part and not part.get("thoughtSignature"):
                for piece in halves(part["text"]):
                    yield event(self.document([part | {"text": piece}], reply, end=False)).replace(b"\n", b"\r\n")
            else:
                yield event(self.document([part], reply, end=False)).replace(b"\n", b"\r\n")
        yield event(self.document([{"text": ""}], reply)).replace(b"\n", b"\r\n")

    def failure(self) -> Answer:
        detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
        error = {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED", "details": [detail]}
        return json_answer({"error": error}, 429)


#: Members whose content is the application's.
OWN = {"args", "response", "parametersJsonSchema", "responseJsonSchema"}


def camel(value: object) -> object:
    """Google takes `snake_case` as well, and its SDK writes both."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    named = {re.sub("_([a-z])", lambda found: found[1].upper(), name): item for name, item in value.items()}
    return {name: item if name in OWN else camel(item) for name, item in named.items()}
