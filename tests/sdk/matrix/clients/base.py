"""What every SDK is made to do."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from ..talk import Call, Reply

MAX_TOKENS = 8000
#: Below `MAX_TOKENS`, where a dialect asks for a budget.
THINKING_TOKENS = 2000


class Conversation(ABC):
    """A conversation as an application holds it: what the SDK gave is sent back as the SDK gave it."""

    #: Whether the dialect has a place for the seal that another maker put on its thinking.
    carries_seals = True
    #: Whether the dialect tells how much of the output was reasoning.
    tells_reasoning = True
    #: Whether the dialect tells what was read from a cache.
    tells_cached = True
    #: What the SDK raises when it is refused for asking too often.
    too_often: str

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str = "client-key",
        system: str | None = None,
        tools: dict[str, dict] | None = None,
        schema: dict | None = None,
        thinking: bool = False,
    ) -> None:
        self.url = url
        self.model = model
        self.key = key
        self.system = system
        self.tools = tools or {}
        self.schema = schema
        self.thinking = thinking
        self.history: list = []
        self.client = self.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    @abstractmethod
    def connect(self) -> object:
        """The SDK's client, without retries, which would hide failures."""

    @abstractmethod
    def user(self, text: str, image: str | None = None) -> None:
        """The user says something, perhaps with a PNG picture in base64."""

    @abstractmethod
    def results(self, results: list[tuple[Call, str]]) -> None:
        """The tools have answered."""

    @abstractmethod
    def ask(self, stream: bool) -> Reply:
        """Asks the model; its answer becomes part of the conversation. Raises `Refused`."""

    @abstractmethod
    def begin(self) -> None:
        """Asks for a stream, reads its first event and leaves."""
