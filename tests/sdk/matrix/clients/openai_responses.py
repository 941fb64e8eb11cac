"""The `openai` package's responses."""

import json

import openai

from ..talk import Call, Refused, Reply, Usage
from .base import MAX_TOKENS, Conversation


class ResponsesConversation(Conversation):
    too_often = "RateLimitError"

    def connect(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=60)

    def user(self, text: str, image: str | None = None) -> None:
        content: list = [{"type": "input_text", "text": text}]
        if image:
            url = f"data:image/png;base64,{image}"
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
        self.history.append({"role": "user", "content": content if image else text})

    def results(self, results: list[tuple[Call, str]]) -> None:
        self.history += [
            {"type": "function_call_output", "call_id": call.id, "output": text} for call, text in results
        ]

    def arguments(self) -> dict:
        arguments: dict = {
            "model": self.model,
            "input": self.history,
            "max_output_tokens": MAX_TOKENS,
            "store": False,
        }
        if self.system:
            arguments["instructions"] = self.system
        if self.tools:
            arguments["tools"] = [
                {"type": "function", "name": name, "description": name, "parameters": schema, "strict": False}
                for name, schema in self.tools.items()
            ]
        if self.schema:
            form = {"type": "json_schema", "name": "answer", "schema": self.schema, "strict": True}
            arguments["text"] = {"format": form}
        if self.thinking:
            arguments["reasoning"] = {"effort": "medium", "summary": "auto"}
            arguments["include"] = ["reasoning.encrypted_content"]
        return arguments

    def ask(self, stream: bool) -> Reply:
        try:
            if not stream:
                response = self.client.responses.create(**self.arguments())
            else:
                with self.client.responses.stream(**self.arguments()) as events:
                    told = list(events)
                assert [event.sequence_number for event in told] == list(range(len(told)))
                assert told[-1].type in ("response.completed", "response.incomplete"), told[-1].type
                response = told[-1].response
        except openai.APIStatusError as error:
            raise Refused(error.status_code, type(error).__name__, error.message) from error
        assert response.error is None
        calls, thinking = [], ""
        for item in response.output:
            written = item.model_dump(exclude_none=True)
            written.pop("parsed_arguments", None)
            for part in written["content"] if item.type == "message" else []:
                part.pop("parsed", None)
            self.history.append(written)
            if item.type == "function_call":
                calls.append(Call(item.name, json.loads(item.arguments), item.call_id))
            if item.type == "reasoning":
                thinking += "".join(part.text for part in item.summary)
        usage = response.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        return Reply(
            text=response.output_text,
            calls=tuple(calls),
            thinking=thinking,
            usage=Usage(
                usage.input_tokens,
                usage.output_tokens,
                usage.input_tokens_details.cached_tokens,
                usage.output_tokens_details.reasoning_tokens,
            ),
            cut=response.status == "incomplete",
        )

    def begin(self) -> None:
        stream = self.client.responses.create(**self.arguments(), stream=True)
        next(iter(stream))
        stream.close()
