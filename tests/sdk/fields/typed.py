"""Fields of request types that are typed dictionaries (OpenAI, Anthropic) or pydantic models (Cohere, Google)."""

import functools
import types
import typing

import pydantic
import typing_extensions

UNIONS = (typing.Union, types.UnionType)
LISTS = (list, tuple, set, typing.Iterable.__origin__, typing.Sequence.__origin__)


def plain(hint):
    """The type without what only says how it is written."""
    while True:
        origin = typing.get_origin(hint)
        if origin in (typing.Annotated, typing_extensions.Annotated):
            hint = typing.get_args(hint)[0]
        elif origin in (
            typing_extensions.Required,
            typing_extensions.NotRequired,
            typing.Required,
            typing.NotRequired,
        ):
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing_extensions.TypeAliasType):
            hint = hint.__value__
        else:
            return hint


def alternatives(hint):
    """The members of a union, or the type itself."""
    hint = plain(hint)
    if typing.get_origin(hint) in UNIONS:
        for member in typing.get_args(hint):
            yield from alternatives(member)
    elif hint is not type(None):
        yield hint


@functools.cache
def members(kind):
    """Names on the wire and types of the members of an object; None if the type is no object of its own."""
    if typing_extensions.is_typeddict(kind):
        return typing_extensions.get_type_hints(kind, include_extras=True)
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        kind.model_rebuild()
        return {wire_name(name, field): field.annotation for name, field in kind.model_fields.items()}
    return None


def wire_name(name, field):
    aliases = [getattr(note, "alias", None) for note in field.metadata]
    return next(filter(None, aliases), field.alias or name)


def element_kind(kind):
    """The `role` or else the `type` that the elements of this type have."""
    hints = members(kind) or {}
    for name in ("role", "type"):
        hint = plain(hints.get(name))
        if typing.get_origin(hint) is typing.Literal:
            values = typing.get_args(hint)
            return values[0] if len(values) == 1 else ""
    return ""


def walk(hint, path, stack, found):
    for kind in alternatives(hint):
        origin = typing.get_origin(kind)
        if origin in LISTS:
            for element in alternatives(typing.get_args(kind)[0] if typing.get_args(kind) else object):
                inner = f"{path}[{element_kind(element)}]"
                found.add(inner)
                walk(element, inner, stack, found)
            continue
        inside = members(kind)
        if inside is None or kind in stack:
            found.add(path)
            continue
        for name, member in inside.items():
            field = f"{path}.{name}" if path else name
            found.add(field)
            walk(member, field, (*stack, kind), found)


def fields(*hints):
    found = set()
    for hint in hints:
        walk(hint, "", (), found)
    return found
