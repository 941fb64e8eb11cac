"""The `openai` package's chat completions."""

import json

import openai

from ..talk import Call, Refused, Reply, Usage
from .base import MAX_TOKENS, Conversation


class ChatConversation(Conversation):
    too_often = "RateLimitError"

    def connect(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=60)

    def user(self, text: str, image: str | None = None) -> None:
        content: list = [{"type": "text", "text": text}]
        if image:
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}})
        self.history.append({"role": "user", "content": content if image else text})

    def results(self, results: list[tuple[Call, str]]) -> None:
        self.history += [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in results]

    def arguments(self) -> dict:
        system = [{"role": "system", "content": self.system}] if self.system else []
        arguments: dict = {"model": self.model, "messages": [*system, *self.history], "max_completion_tokens": MAX_TOKENS}
        if self.tools:
            arguments["tools"] = [
                {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}
                for name, schema in self.tools.items()
            ]
        if self.schema:
            form = {"name": "answer", "schema": self.schema, "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": form}
        if self.thinking:
            arguments["reasoning_effort"] = "medium"
        return arguments

    def ask(self, stream: bool) -> Reply:
        try:
            if not stream:
                completion = self.client.chat.completions.create(**self.arguments())
            else:
                with self.client.chat.completions.stream(
                    **self.arguments(), stream_options={"include_usage": True}
                ) as events:
                    for _ in events:
                        pass
                    # The method for the final one raises when the limit of tokens was met.
                    completion = events.current_completion_snapshot
        except openai.APIStatusError as error:
            raise Refused(error.status_code, type(error).__name__, error.message) from error
        (choice,) = completion.choices
        message = choice.message
        # As an application does that keeps what it was given; what the SDK has added itself is not for the server.
        self.history.append(message.model_dump(exclude_none=True, exclude={"parsed"}) if stream else message)
        for call in self.history[-1].get("tool_calls", []) if stream else []:
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        usage = completion.usage
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        return Reply(
            text=message.content or "",
            calls=tuple(
                Call(call.function.name, json.loads(call.function.arguments), call.id)
                for call in message.tool_calls or []
            ),
            thinking=getattr(message, "reasoning_content", None) or "",
            usage=Usage(
                usage.prompt_tokens,
                usage.completion_tokens,
                (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0,
                (usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens) or 0,
            ),
            cut=choice.finish_reason == "length",
        )

    def begin(self) -> None:
        stream = self.client.chat.completions.create(**self.arguments(), stream=True)
        next(iter(stream))
        stream.close()
