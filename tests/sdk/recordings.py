"""Recorded answers of providers, and what they say.

What a recording says is read here from its JSON by itself, independent of the gateway and of the SDKs: it is what tests
compare with. The two dialects are read into the same few facts, and usage into counts that do not overlap.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from upstream import Answer, End

#: The recordings that travel with the project.
OWN = Path(__file__).resolve().parent.parent / "recordings"

OPENAI = "openai-chat"
ANTHROPIC = "anthropic-messages"

#: Ways to cut a stream into pieces.
CUTS = ("whole", "events", "bytes")


@dataclass
class Usage:
    """Token counts that do not overlap, but for `reasoning`, which is part of `output`."""

    fresh: int = 0
    read: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def input_total(self) -> int:
        return self.fresh + self.read + self.written


@dataclass
class Call:
    """A tool call."""

    id: str
    name: str
    arguments: str

    @property
    def complete(self) -> bool:
        """Whether the arguments were not cut by the limit of output tokens."""
        try:
            json.loads(self.arguments or "{}")
        except ValueError:
            return False
        return True

    @property
    def value(self) -> object:
        """The arguments as JSON; no arguments at all, which some models write as `null`, are an empty object."""
        return json.loads(self.arguments or "{}") or {}


@dataclass
class Facts:
    """What an answer says."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    signatures: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    stop: str | None = None
    usage: Usage | None = None
    #: Kinds of content that have no counterpart in the other dialect, such as hosted tools.
    foreign: set[str] = field(default_factory=set)


class Recording:
    """One recorded answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = "/".join(folder.parts[-3:])
        self.meta = json.loads((folder / "meta.json").read_text())
        self.dialect: str = self.meta["dialect"]
        self.status: int = self.meta["status"]
        self.stream: bool = (folder / "response.sse").exists() or (folder / "response.chunks.jsonl").exists()

    def __repr__(self) -> str:
        return self.id

    @property
    def body(self) -> bytes:
        """The bytes of the answer. Streams that were recorded without their framing are framed again."""
        for name in ("response.json", "response.txt", "response.sse"):
            if (self.folder / name).exists():
                return (self.folder / name).read_bytes()
        lines = (self.folder / "response.chunks.jsonl").read_text().splitlines()
        payloads = [line for line in lines if line.strip()]
        if self.dialect == ANTHROPIC:
            events = [f"event: {json.loads(payload)['type']}\ndata: {payload}\n\n" for payload in payloads]
        else:
            events = [f"data: {payload}\n\n" for payload in [*payloads, "[DONE]"]]
        return "".join(events).encode()

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def request(self) -> dict | None:
        """What was asked; `None` if it was not recorded."""
        path = self.folder / "request.json"
        return json.loads(path.read_text()) if path.exists() else None

    def answer(self, cut: str = "events", end: End = End.COMPLETE, after: int | None = None) -> Answer:
        """The recording as an answer; a stream is cut into pieces, and may end early after so many bytes."""
        headers = {name: value for name, value in self.meta["response_headers"].items() if name.lower() not in FRAMING}
        default = "text/event-stream" if self.stream else "application/json"
        if headers.get("content-type", "application/x-payloads") == "application/x-payloads":
            headers["content-type"] = default
        body = self.body[:after]
        return Answer(self.status, headers, pieces(body, cut) if self.stream else [body], end)

    @property
    def facts(self) -> Facts:
        """What the answer says."""
        if self.dialect == ANTHROPIC:
            return anthropic_facts(joined_anthropic(self.payloads) if self.stream else self.json)
        return openai_facts(joined_openai(self.payloads) if self.stream else self.json)

    @property
    def payloads(self) -> list[dict]:
        """The JSON documents of a stream."""
        text = self.body.decode().replace("\r\n", "\n")
        data = [
            "\n".join(line[5:].strip() for line in event.split("\n") if line.startswith("data:"))
            for event in text.split("\n\n")
        ]
        return [json.loads(payload) for payload in data if payload and payload != "[DONE]"]


def recording(name: str) -> Recording:
    """A recording of the project, by its path below tests/recordings."""
    return Recording(OWN / name)


def all_recordings(dialect: str) -> list[Recording]:
    """Every recording of a dialect, by any provider, in the big collection."""
    root = collection()
    if root is None:
        return []
    return [Recording(path.parent) for path in sorted(root.glob(f"*/{dialect}/*/meta.json"))]


def collection() -> Path | None:
    """The big collection of recordings; `None` when it is not there, which is only allowed outside of CI."""
    repository = OWN.parent.parent
    root = Path(os.environ.get("TOLLGATE_FIXTURES") or repository.parent / "shared" / "fixtures")
    if root.is_dir():
        return root
    if os.environ.get("CI"):
        pytest.fail(f"the collection of recordings is missing: {root}; set TOLLGATE_FIXTURES")
    return None


def pieces(body: bytes, cut: str) -> list[bytes]:
    """Cuts a stream."""
    match cut:
        case "whole":
            return [body]
        case "bytes":
            return [body[at : at + 1] for at in range(len(body))]
        case _:
            return list(events(body))


def events(body: bytes) -> Iterator[bytes]:
    """The events of a stream with the blank line that ends them."""
    for mark in (b"\r\n\r\n", b"\n\n"):
        if mark in body:
            parts = body.split(mark)
            yield from (part + mark for part in parts[:-1])
            if parts[-1]:
                yield parts[-1]
            return
    yield body


def joined_openai(chunks: list[dict]) -> dict:
    """What the chunks of a stream add up to."""
    message: dict = {}
    calls: dict[int, dict] = {}
    result: dict = {"choices": [{"message": message, "finish_reason": None}], "usage": None}
    for chunk in chunks:
        result["usage"] = chunk.get("usage") or result["usage"]
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta") or {}
            result["choices"][0]["finish_reason"] = choice.get("finish_reason") or result["choices"][0]["finish_reason"]
            for name in ("content", "refusal", "reasoning_content", "reasoning"):
                # Mistral switches between lists and strings inside one answer.
                value = delta.get(name)
                if isinstance(value, str) and isinstance(message.get(name), list):
                    value = [{"type": "text", "text": value}]
                elif isinstance(value, list) and isinstance(message.get(name), str):
                    message[name] = [{"type": "text", "text": message[name]}]
                if value is not None:
                    message[name] = message.get(name, type(value)()) + value
            for position, call in enumerate(delta.get("tool_calls") or []):
                known = calls.setdefault(
                    call.get("index", position), {"id": "", "function": {"name": "", "arguments": ""}}
                )
                known["id"] = call.get("id") or known["id"]
                known["function"]["name"] = call["function"].get("name") or known["function"]["name"]
                known["function"]["arguments"] += call["function"].get("arguments") or ""
    message["tool_calls"] = list(calls.values())
    return result


def joined_anthropic(payloads: list[dict]) -> dict:
    """What the events of a stream add up to."""
    message: dict = {"content": [], "usage": {}}
    texts = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
    arguments: dict[int, str] = {}
    for event in payloads:
        match event["type"]:
            case "message_start":
                message = event["message"] | {"content": []}
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                delta, block = event["delta"], message["content"][event["index"]]
                if name := texts.get(delta["type"]):
                    block[name] = block.get(name, "") + delta[name]
                elif delta["type"] == "input_json_delta":
                    arguments[event["index"]] = arguments.get(event["index"], "") + delta["partial_json"]
            case "message_delta":
                message |= {name: value for name, value in event["delta"].items() if value is not None}
                message["usage"] |= {
                    name: value for name, value in (event.get("usage") or {}).items() if value is not None
                }
    for index, text in arguments.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message


def openai_facts(body: dict) -> Facts:
    """Reads a chat completion."""
    choice = body["choices"][0]
    message = choice.get("message") or {}
    facts = Facts(stop=choice.get("finish_reason"))
    content = message.get("content")
    if isinstance(content, list):
        facts.foreign |= {part.get("type", "?") for part in content if part.get("type") != "text"}
        content = "".join(part.get("text", "") for part in content if part.get("type") == "text")
    facts.text = content or ""
    facts.refusal = message.get("refusal") or ""
    facts.reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
    call = message.get("function_call") or {}
    if call.get("name"):
        facts.calls.append(Call("", call["name"], call["arguments"]))
    for call in message.get("tool_calls") or []:
        if "function" in call:
            facts.calls.append(Call(call.get("id") or "", call["function"]["name"], call["function"]["arguments"]))
        else:
            facts.foreign.add(call.get("type", "?"))
    if usage := body.get("usage"):
        prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        inputs, outputs = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
        # Vendors disagree where this stands, and some tell more than the whole prompt.
        cached = (inputs.get("cached_tokens"), *(usage.get(name) for name in CACHED))
        read = min(next((count for count in cached if count), 0), prompt)
        written = min(inputs.get("cache_write_tokens") or 0, prompt - read)
        reasoning = outputs.get("reasoning_tokens") or 0
        # xAI counts reasoning beside the completion; its total tells.
        beside = reasoning if usage.get("total_tokens") == prompt + completion + reasoning else 0
        facts.usage = Usage(prompt - read - written, read, written, completion + beside, reasoning)
    return facts


def anthropic_facts(body: dict) -> Facts:
    """Reads a message."""
    facts = Facts(stop=body.get("stop_reason"))
    for block in body["content"]:
        match block["type"]:
            case "text":
                facts.text += block["text"]
            case "thinking":
                facts.reasoning += block["thinking"]
                facts.signatures.append(block["signature"])
            case "tool_use":
                facts.calls.append(Call(block["id"], block["name"], json.dumps(block["input"])))
            case other:
                facts.foreign.add(other)
    usage = body.get("usage") or {}
    # The totals do not hold what a compaction of the context has cost.
    compactions = [entry for entry in usage.get("iterations") or [] if entry["type"] == "compaction"]

    def count(name: str) -> int:
        return sum(entry.get(name) or 0 for entry in [usage, *compactions])

    facts.usage = Usage(
        count("input_tokens"),
        count("cache_read_input_tokens"),
        count("cache_creation_input_tokens"),
        count("output_tokens"),
        (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )
    return facts


#: Where vendors of OpenAI's dialect tell what was read from a cache, beside its usual place.
CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")


#: Headers that belong to the connection on which the answer was recorded.
FRAMING = {"content-length", "transfer-encoding", "content-encoding", "connection", "keep-alive", "date"}
