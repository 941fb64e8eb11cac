#!/usr/bin/env python3
"""Writes capabilities.txt, the table of what each model accepts, from a price list with capability flags.

    python3 generate_capabilities.py <litellm-model-prices.json>

Each line is a model's name and what differs from the default (see README.md). A name is listed only if looking it up by
the rules of src/capabilities.rs without its line would give something else.
"""

import json
import pathlib
import re
import sys

PROVIDERS = {
    # Where two providers list the same bare name, the earlier one describes it.
    name: rank
    for rank, name in enumerate(
        "anthropic openai mistral deepseek xai gemini groq cohere_chat moonshot zai dashscope cerebras "
        "vertex_ai-anthropic_models vertex_ai-language-models vertex_ai-mistral_models vertex_ai-llama_models "
        "vertex_ai-deepseek_models vertex_ai bedrock_mantle bedrock_converse bedrock azure azure_ai together_ai "
        "fireworks_ai perplexity".split()
    )
}
SWITCHES = [
    # word in the table, default
    ("sampling", True),
    ("adaptive", True),
    ("budget", True),
    ("always-on", False),
    ("reasoning", True),
    ("forced-tool", True),
    ("prefill", True),
    ("mid-system", False),
    ("native-schema", True),
    ("levels", False),
    ("claude", False),
    ("json-schema", True),
]
# Models that the list no longer has.
RETIRED = ["gemini-1-5-pro", "gemini-1-5-flash", "gemini-1-5-flash-8b"]
EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def efforts(entry):
    """The efforts a model accepts, or None if the list does not say."""
    if "reasoning_effort_levels" in entry:
        return entry["reasoning_effort_levels"]
    said = {name: entry.get(f"supports_{name}_reasoning_effort") for name in EFFORTS}
    if not entry.get("supports_reasoning") or all(value is None for value in said.values()):
        return None
    usual = {"low", "medium", "high"}
    return [name for name in EFFORTS if said[name] or (said[name] is None and name in usual)]


def gemini(name):
    """The generation of a Gemini model and whether it is a Pro: the list does not say what they take."""
    found = re.search(r"gemini-(\d+)(?:[.-]\d+)?(-pro)?", name)
    return (int(found[1]), bool(found[2])) if found else (0, False)


def capabilities(name, entry):
    claude = "claude" in name
    generation, pro = gemini(name)
    reasoning = bool(entry.get("supports_reasoning"))
    adaptive = bool(entry.get("supports_adaptive_thinking"))
    most = entry.get("max_output_tokens")
    return {
        "max": most if isinstance(most, int) and most > 0 else None,
        "sampling": entry.get("supports_sampling_params", True),
        "adaptive": adaptive,
        "budget": reasoning and (not adaptive or bool(entry.get("supports_legacy_thinking"))),
        # Gemini's Pro models cannot be kept from thinking.
        "always-on": bool(entry.get("thinking_always_on")) or (reasoning and pro),
        "reasoning": reasoning,
        "forced-tool": entry.get("supports_forced_tool_use", True),
        "prefill": entry.get("supports_assistant_prefill", True),
        "mid-system": bool(entry.get("supports_mid_conversation_system")),
        "native-schema": bool(
            entry.get("supports_native_structured_output", False)
            if claude
            else entry.get("supports_response_schema", True)
        ),
        # Since its third generation, Gemini takes levels of thinking; in its first, only its own kind of schema.
        "levels": generation >= 3,
        # Claude takes its own options wherever it is served.
        "claude": claude,
        "json-schema": generation != 1,
        "efforts": efforts(entry),
    }


def line(caps):
    words = []
    if caps["max"] is not None:
        words.append(f"max={caps['max']}")
    for word, default in SWITCHES:
        if caps[word] != default:
            words.append(("+" if caps[word] else "-") + word)
    if caps["efforts"] is not None:
        words.append("efforts=" + ",".join(caps["efforts"]))
    return " ".join(words)


# The functions down to `lookup` do the same as src/capabilities.rs.
def without_provider(name):
    bare = name.rsplit("/", 1)[-1]
    return re.sub(r"^([a-z-]+\.)?(anthropic|amazon|meta|mistral|cohere|deepseek|openai|qwen|ai21)\.", "", bare)


def without_date(name):
    name = re.sub(r"-v\d+(:\d+)?$", "", name)
    return re.sub(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)$", "", name)


def candidates(name):
    name = name.lower()
    bare = without_provider(name)
    undated = without_date(bare)
    return list(dict.fromkeys([name, bare, undated, undated.replace(".", "-")]))


def lookup(table, name):
    return next((table[key] for key in candidates(name) if key in table), "")


def main(source):
    models = json.loads(pathlib.Path(source).read_text())
    chosen = {
        name: entry
        for name, entry in models.items()
        if entry.get("litellm_provider") in PROVIDERS and entry.get("mode") in ("chat", "responses") and " " not in name
    }
    # The provider that knows best first, and of dated names the newest.
    by_rank = sorted(sorted(chosen, reverse=True), key=lambda name: PROVIDERS[chosen[name]["litellm_provider"]])
    table = {}
    for step in range(1, 4):
        for name in by_rank:
            shorter = candidates(name)
            table.setdefault(shorter[min(step, len(shorter) - 1)], line(capabilities(name, chosen[name])))
    for name in sorted(chosen):
        table[name.lower()] = line(capabilities(name, chosen[name]))
    for name in RETIRED:
        table[name] = line(capabilities(name, {"max_output_tokens": 8192}))
    # A name goes if the shorter ones give the same.
    for name in sorted(table, key=len, reverse=True):
        kept = table.pop(name)
        if lookup(table, name) != kept:
            table[name] = kept
    lines = [f"{name} {words}".rstrip() for name, words in sorted(table.items())]
    target = pathlib.Path(__file__).with_name("capabilities.txt")
    target.write_text("".join(f"{text}\n" for text in lines))
    print(f"{len(lines)} models, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
