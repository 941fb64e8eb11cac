"""The request types of each dialect in its maker's SDK."""

import inspect
import json
import pathlib
import re
import typing

from . import typed


def openai_chat():
    from openai.types.chat import completion_create_params as params

    return typed.fields(params.CompletionCreateParamsNonStreaming, params.CompletionCreateParamsStreaming)


def openai_responses():
    from openai.types.responses import response_create_params as params

    return typed.fields(params.ResponseCreateParamsNonStreaming, params.ResponseCreateParamsStreaming)


def anthropic_messages():
    from anthropic.types import message_create_params as stable
    from anthropic.types.beta import message_create_params as beta

    return typed.fields(
        stable.MessageCreateParamsNonStreaming,
        stable.MessageCreateParamsStreaming,
        beta.MessageCreateParamsNonStreaming,
        beta.MessageCreateParamsStreaming,
    )


def cohere_chat():
    from cohere.v2.raw_client import RawV2Client

    found = set()
    for call in (RawV2Client.chat, RawV2Client.chat_stream):
        for name, hint in typing.get_type_hints(call, include_extras=True).items():
            if name not in ("return", "request_options"):
                found.add(name)
                typed.walk(hint, name, (), found)
    return found


def gemini_generate():
    """The SDK builds requests with `setv(object, [names], value)`; what it names there is what Google's API knows."""
    from google.genai import models, types

    found = set()
    source = inspect.getsource(models)
    for holder, prefix in (("GenerateContentConfig", "generationConfig."), ("GenerateContentParameters", "")):
        for api in ("mldev", "vertex"):
            body = source.split(f"\ndef _{holder}_to_{api}(")[1].split("\ndef ")[0]
            for target, names in re.findall(r"setv\(\s*(\w+),\s*\[([^\]]*)\]", body):
                path = ".".join(re.findall(r"'(\w+)'", names))
                if not path.startswith("_"):
                    found.add(path if target == "parent_object" else prefix + path)
    nested = {
        "contents[]": types.Content,
        "systemInstruction": types.Content,
        "tools[]": types.Tool,
        "toolConfig": types.ToolConfig,
        "safetySettings[]": types.SafetySetting,
        "generationConfig.thinkingConfig": types.ThinkingConfig,
    }
    for path, kind in nested.items():
        typed.walk(kind, path, (), found)
    return found


def bedrock_converse():
    import botocore

    root = pathlib.Path(botocore.__file__).parent / "data" / "bedrock-runtime"
    file = sorted(root.glob("*/service-2.json*"))[-1]
    if file.suffix == ".gz":
        import gzip

        model = json.loads(gzip.decompress(file.read_bytes()))
    else:
        model = json.loads(file.read_text())
    shapes = model["shapes"]
    found = set()

    def walk(name, path, stack):
        shape = shapes[name]
        if shape["type"] == "list":
            found.add(f"{path}[]")
            walk(shape["member"]["shape"], f"{path}[]", stack)
        elif shape["type"] == "structure" and name not in stack:
            for member, target in shape["members"].items():
                field = f"{path}.{member}" if path else member
                found.add(field)
                walk(target["shape"], field, (*stack, name))

    walk("ConverseRequest", "", ())
    walk("ConverseStreamRequest", "", ())
    return found


DIALECTS = {
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "anthropic_messages": anthropic_messages,
    "gemini_generate": gemini_generate,
    "bedrock_converse": bedrock_converse,
    "cohere_chat": cohere_chat,
}
