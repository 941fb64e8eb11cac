#!/usr/bin/env python3
"""Generates prices.tsv from LiteLLM's model price file.

Usage: generate_prices.py litellm-model-prices.json > prices.tsv

Columns: model, then one or more groups of "above input output cache_read cache_write cache_write_1h". `above` is the number of
prompt tokens a call must exceed for the group to apply to all its tokens; the first group's is 0. Prices are whole
pico-dollars (1e-12 US dollars) per token. README.md says what is left out and how gaps are filled.
"""

import json
import re
import sys
from decimal import ROUND_HALF_EVEN, Decimal

MODES = {"chat", "responses", "completion", "embedding"}
# What a call costs is not only a matter of its tokens.
OTHER_CHARGES = {"input_cost_per_request", "input_cost_per_query", "citation_cost_per_token"}


def pico(dollars):
    """Whole pico-dollars; the rounding only removes the noise of binary fractions in the source."""
    return int((Decimal(dollars) * 10**12).quantize(Decimal(1), ROUND_HALF_EVEN))


def stated(entry, key):
    """The price, or None where it is missing or zero: nobody gives tokens away, a zero means that nothing is known."""
    value = entry.get(key)
    return pico(value) if value else None


def group(entry, mode):
    """The prices of an entry without tiers, or None if they are not known."""
    price, output = stated(entry, "input_cost_per_token"), stated(entry, "output_cost_per_token")
    reasoning = stated(entry, "output_cost_per_reasoning_token")
    if price is None or (output is None and mode != "embedding") or reasoning not in (None, output):
        return None
    read = stated(entry, "cache_read_input_token_cost") or stated(entry, "input_cost_per_token_cache_hit") or price
    write = stated(entry, "cache_creation_input_token_cost") or price
    hour = stated(entry, "cache_creation_input_token_cost_above_1hr") or write
    return [price, output or 0, read, write, hour]


def long_prompt(entry, base):
    """The prices above the one threshold an entry may have."""
    found = {re.fullmatch(r"(?:input|output)_cost_per_token_above_(\d+)k_tokens", key) for key in entry} - {None}
    sizes = {int(match[1]) for match in found}
    if not sizes:
        return []
    if len(sizes) > 1:
        sys.exit(f"more than one threshold: {entry}")
    tokens = sizes.pop()
    suffix = f"_above_{tokens}k_tokens"
    price = stated(entry, "input_cost_per_token" + suffix) or base[0]
    output = stated(entry, "output_cost_per_token" + suffix) or base[1]
    read = stated(entry, "cache_read_input_token_cost" + suffix)
    if read is None:
        read = base[2] if base[2] != base[0] else price
    writes = base[3] != base[0]
    write = (stated(entry, "cache_creation_input_token_cost" + suffix) or base[3]) if writes else price
    hour = stated(entry, "cache_creation_input_token_cost_above_1hr" + suffix) or max(write, base[4])
    return [tokens * 1000, price, output, read, write, hour if writes else price]


def row(entry):
    mode = entry.get("mode")
    if mode not in MODES or OTHER_CHARGES & entry.keys():
        return None
    if "tiered_pricing" in entry:
        columns = []
        for tier in sorted(entry["tiered_pricing"], key=lambda tier: tier["range"][0]):
            prices = group(tier, mode)
            if prices is None:
                return None
            columns += [int(tier["range"][0]), *prices]
        return columns if columns and columns[0] == 0 else None
    base = group(entry, mode)
    return None if base is None else [0, *base, *long_prompt(entry, base)]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = json.load(file, parse_float=Decimal)
    for model in sorted(entries, key=lambda name: name.encode()):
        columns = row(entries[model])
        if columns is not None:
            print(model, *columns, sep="\t")


main()
