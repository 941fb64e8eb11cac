"""The `google-genai` package."""

import base64

from google import genai
from google.genai import errors, types

from ..talk import Call, Refused, Reply, Usage
from .base import MAX_TOKENS, THINKING_TOKENS, Conversation


class GeminiConversation(Conversation):
    too_often = "ClientError"

    def connect(self) -> genai.Client:
        options = types.HttpOptions(base_url=self.url, timeout=60_000)
        return genai.Client(api_key=self.key, http_options=options)

    def user(self, text: str, image: str | None = None) -> None:
        parts = [types.Part(text=text)]
        if image:
            parts.append(types.Part.from_bytes(data=base64.b64decode(image), mime_type="image/png"))
        self.history.append(types.Content(role="user", parts=parts))

    def results(self, results: list[tuple[Call, str]]) -> None:
        parts = [
            types.Part(
                function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": text})
            )
            for call, text in results
        ]
        self.history.append(types.Content(role="user", parts=parts))

    def config(self) -> types.GenerateContentConfig:
        config = types.GenerateContentConfig(max_output_tokens=MAX_TOKENS, system_instruction=self.system)
        if self.tools:
            functions = [
                types.FunctionDeclaration(name=name, description=name, parameters_json_schema=schema)
                for name, schema in self.tools.items()
            ]
            config.tools = [types.Tool(function_declarations=functions)]
        if self.schema:
            config.response_mime_type = "application/json"
            config.response_json_schema = self.schema
        if self.thinking:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True, thinking_budget=THINKING_TOKENS)
        return config

    def ask(self, stream: bool) -> Reply:
        models = self.client.models
        arguments = {"model": self.model, "contents": self.history, "config": self.config()}
        try:
            if stream:
                answers = list(models.generate_content_stream(**arguments))
            else:
                answers = [models.generate_content(**arguments)]
        except errors.APIError as error:
            raise Refused(error.code, type(error).__name__, error.message) from error
        parts: list[types.Part] = []
        for answer in answers:
            (candidate,) = answer.candidates
            parts += (candidate.content and candidate.content.parts) or []
        self.history.append(types.Content(role="model", parts=parts))
        usage = answers[-1].usage_metadata
        reasoning = usage.thoughts_token_count or 0
        output = (usage.candidates_token_count or 0) + reasoning
        assert usage.total_token_count == usage.prompt_token_count + output
        return Reply(
            text="".join(part.text for part in parts if part.text and not part.thought),
            calls=tuple(
                Call(part.function_call.name, part.function_call.args, part.function_call.id)
                for part in parts
                if part.function_call
            ),
            thinking="".join(part.text for part in parts if part.text and part.thought),
            usage=Usage(usage.prompt_token_count, output, usage.cached_content_token_count or 0, reasoning),
            cut=answers[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS,
        )

    def begin(self) -> None:
        stream = self.client.models.generate_content_stream(
            model=self.model, contents=self.history, config=self.config()
        )
        next(stream)
        stream.close()
