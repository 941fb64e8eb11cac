"""What is said between an application and a model, in no dialect."""

from dataclasses import dataclass, field

#: A picture of one pixel.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Call:
    """A tool call."""

    name: str
    arguments: dict
    id: str = ""


@dataclass(frozen=True)
class Usage:
    """Tokens. What was read from a cache is part of the input, reasoning is part of the output."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Reply:
    """What a model answers, as its provider says it, or as an application hears it."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    thinking: str = ""
    #: The provider's own seal on the thinking, which it wants back byte by byte.
    proof: str = ""
    usage: Usage = Usage(input=21, output=9)
    #: Whether the limit of tokens ended it.
    cut: bool = False


@dataclass
class Asked:
    """What a provider understood of a request."""

    model: str
    stream: bool
    system: str = ""
    #: What the user said, in order.
    texts: list[str] = field(default_factory=list)
    #: Media type and base64 of each picture.
    images: list[tuple[str, str]] = field(default_factory=list)
    #: The JSON Schema of each tool's arguments.
    tools: dict[str, dict] = field(default_factory=dict)
    #: The calls of earlier answers.
    calls: list[Call] = field(default_factory=list)
    #: Id and text of each tool's result.
    results: list[tuple[str, str]] = field(default_factory=list)
    #: The seals of earlier thinking.
    proofs: list[str] = field(default_factory=list)
    #: The JSON Schema that the answer must follow.
    schema: dict | None = None
    #: Whether the model is to think.
    thinking: bool = False


class Refused(Exception):
    """An SDK raised what it raises for this status."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(f"{kind} {status}: {message}")
        self.status = status
        self.kind = kind
        self.message = message
