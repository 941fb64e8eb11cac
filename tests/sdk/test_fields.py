"""Every request field that an SDK knows is in the inventory from which the pages of fields are made."""

import json
import pathlib
import re

import pytest

from fields import sdks

INVENTORY = pathlib.Path(__file__).resolve().parents[2] / "crates/dialects/data/fields"


# What kind an object is shows in its other members.
KINDS = ("type", "role")
# What stands in the address of a request.
ADDRESS = ("modelId",)


def steps(path):
    """`a[text].b` as `a`, `[text]`, `b`."""
    return re.findall(r"\[[^\]]*\]|[^.\[\]]+", path)


def fits(known, step):
    is_any = known in ("[]", "[*]") and step.startswith("[")
    # Some SDKs do not tell kinds.
    is_one = step == "[]" and known.startswith("[")
    return known == step or is_any or is_one


def begins(path, beginning):
    """Whether a path is within another one, where `[]` is any kind of element."""
    return len(beginning) <= len(path) and all(map(fits, beginning, path))


def entries(dialect):
    for line in (INVENTORY / f"{dialect}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "field" in entry:
            for kind in entry.get("kinds", [""]):
                yield steps(entry["field"].replace("{kind}", kind)), entry.get("whole", False)


def missing(dialect):
    known = list(entries(dialect))
    for path in sorted(sdks.DIALECTS[dialect]()):
        field = steps(path)
        if field[-1] in KINDS or path in ADDRESS:
            continue
        for entry, is_whole in known:
            is_known = len(entry) == len(field) and begins(field, entry)
            is_within = is_whole and begins(field, entry)
            holds_known = len(entry) > len(field) and begins(field, entry[: len(field)])
            if is_known or is_within or holds_known:
                break
        else:
            yield path


@pytest.mark.parametrize("dialect", [name for name in sdks.DIALECTS if (INVENTORY / f"{name}.jsonl").exists()])
def test_every_field_of_the_sdk_is_in_the_inventory(dialect):
    assert list(missing(dialect)) == []
