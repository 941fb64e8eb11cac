"""The `boto3` package's Bedrock runtime."""

import base64
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from ..talk import Call, Refused, Reply, Usage
from .base import MAX_TOKENS, THINKING_TOKENS, Conversation


class BedrockConversation(Conversation):
    too_often = "ThrottlingException"
    tells_reasoning = False

    def connect(self) -> object:
        return boto3.Session().client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=self.url,
            # A bearer token it would send over TLS only, a session token always.
            aws_access_key_id="unused",
            aws_secret_access_key="unused",
            aws_session_token=self.key,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
        )

    def user(self, text: str, image: str | None = None) -> None:
        content: list = [{"text": text}]
        if image:
            content.append({"image": {"format": "png", "source": {"bytes": base64.b64decode(image)}}})
        self.history.append({"role": "user", "content": content})

    def results(self, results: list[tuple[Call, str]]) -> None:
        content = [{"toolResult": {"toolUseId": call.id, "content": [{"text": text}]}} for call, text in results]
        self.history.append({"role": "user", "content": content})

    def arguments(self) -> dict:
        arguments: dict = {
            "modelId": self.model,
            "messages": self.history,
            "inferenceConfig": {"maxTokens": MAX_TOKENS},
        }
        if self.system:
            arguments["system"] = [{"text": self.system}]
        if self.tools:
            tools = [
                {"toolSpec": {"name": name, "description": name, "inputSchema": {"json": schema}}}
                for name, schema in self.tools.items()
            ]
            arguments["toolConfig"] = {"tools": tools}
        if self.schema:
            structure = {"jsonSchema": {"schema": written(self.schema), "name": "answer"}}
            arguments["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
        if self.thinking:
            thinking = {"type": "enabled", "budget_tokens": THINKING_TOKENS}
            arguments["additionalModelRequestFields"] = {"thinking": thinking}
        return arguments

    def ask(self, stream: bool) -> Reply:
        try:
            if stream:
                content, stop, usage = collected(self.client.converse_stream(**self.arguments())["stream"])
            else:
                answer = self.client.converse(**self.arguments())
                content = answer["output"]["message"]["content"]
                stop, usage = answer["stopReason"], answer["usage"]
        except ClientError as error:
            told = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            raise Refused(status, told["Code"], told["Message"]) from error
        self.history.append({"role": "assistant", "content": content})
        read, wrote = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
        total = usage["inputTokens"] + read + wrote
        assert usage["totalTokens"] == total + usage["outputTokens"]
        calls = [block["toolUse"] for block in content if "toolUse" in block]
        thoughts = [block["reasoningContent"] for block in content if "reasoningContent" in block]
        return Reply(
            text="".join(block.get("text", "") for block in content),
            calls=tuple(Call(call["name"], call["input"], call["toolUseId"]) for call in calls),
            thinking="".join(thought.get("reasoningText", {}).get("text", "") for thought in thoughts),
            usage=Usage(total, usage["outputTokens"], read),
            cut=stop == "max_tokens",
        )

    def begin(self) -> None:
        stream = self.client.converse_stream(**self.arguments())["stream"]
        next(iter(stream))
        stream.close()


def written(schema: dict) -> str:
    return json.dumps(schema)


def collected(stream: object) -> tuple[list[dict], str, dict]:
    """A streamed message, put together as applications do: blocks begin by a start or by their first piece."""
    blocks: dict[int, dict] = {}
    stop, usage = "", {}
    for event in stream:
        ((kind, inside),) = event.items()
        match kind:
            case "contentBlockStart":
                start = inside["start"]["toolUse"]
                blocks[inside["contentBlockIndex"]] = {"toolUse": {**start, "input": ""}}
            case "contentBlockDelta":
                ((what, piece),) = inside["delta"].items()
                index = inside["contentBlockIndex"]
                if what == "text":
                    block = blocks.setdefault(index, {"text": ""})
                    block["text"] += piece
                elif what == "toolUse":
                    blocks[index]["toolUse"]["input"] += piece["input"]
                else:
                    block = blocks.setdefault(index, {"reasoningContent": {}})["reasoningContent"]
                    if "redactedContent" in piece:
                        block["redactedContent"] = block.get("redactedContent", b"") + piece["redactedContent"]
                        continue
                    text = block.setdefault("reasoningText", {"text": ""})
                    for name, more in piece.items():
                        text[name] = text.get(name, "") + more
            case "messageStop":
                stop = inside["stopReason"]
            case "metadata":
                usage = inside["usage"]
    content = [blocks[index] for index in sorted(blocks)]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return content, stop, usage
