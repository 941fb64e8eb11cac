"""What every mock provider can do."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator

from upstream import Answer, Received, json_answer, stream_answer

from ..talk import Asked, Reply


class Provider(ABC):
    """A provider that understands requests of its own dialect only, and answers in it."""

    #: Its name in these tests.
    name: str
    #: The model that the gateway asks it for.
    model: str
    #: Whether it seals its thinking.
    seals = False
    #: Whether its dialect tells how much of the output was reasoning.
    tells_reasoning = True

    @abstractmethod
    def asked(self, received: Received) -> Asked:
        """Reads a request; fails if the provider's own types would not have it."""

    @abstractmethod
    def whole(self, reply: Reply) -> object:
        """The document of a whole answer."""

    @abstractmethod
    def events(self, reply: Reply) -> Iterator[bytes]:
        """The pieces of a streamed answer."""

    @abstractmethod
    def failure(self) -> Answer:
        """The answer of a provider that is asked too often."""

    def answer(self, reply: Reply) -> Answer:
        """A whole answer."""
        return json_answer(self.whole(reply))

    def stream(self, reply: Reply) -> Answer:
        """A streamed answer."""
        return stream_answer(self.events(reply))


def event(data: object, name: str | None = None) -> bytes:
    """A server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def halves(text: str) -> tuple[str, str]:
    """A text in two pieces, as models stream it."""
    middle = len(text) // 2
    return text[:middle], text[middle:]
