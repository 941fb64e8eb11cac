"""A provider made of recorded bytes: real sockets, no opinion about what is asked.

It knows HTTP/1.1 and nothing of any dialect. A test says how the next requests are answered, and afterwards looks at
what was received. Everything is event-driven: nothing waits for a time to pass.
"""

import asyncio
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

# Longest wait for something that must happen, in seconds. Only a failing test ever waits so long.
PATIENCE_S = 30


class End(Enum):
    """How a connection goes on after the last byte of an answer."""

    COMPLETE = "the answer is complete"
    FIN = "the connection is closed, the answer is not complete"
    RST = "the connection is reset, the answer is not complete"
    HANG = "nothing more comes until the peer closes the connection"


@dataclass
class Answer:
    """One answer. A body of one piece is sent with its length, several pieces as chunks, each written on its own."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    end: End = End.COMPLETE
    #: Whether the end comes before the head is sent.
    silent: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def json_answer(body: object, status: int = 200, **headers: str) -> Answer:
    """A whole JSON answer."""
    return Answer(status, {"content-type": "application/json", **headers}, [json.dumps(body).encode()])


def stream_answer(pieces: Iterable[bytes], end: End = End.COMPLETE, **headers: str) -> Answer:
    """A stream of server-sent events."""
    return Answer(200, {"content-type": "text/event-stream", **headers}, list(pieces), end)


class Received:
    """A request as the provider got it."""

    def __init__(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = dict(headers)
        self.body = body
        #: Set when the peer has closed the connection of this request.
        self.closed = threading.Event()

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Upstream:
    """The server. Runs in a thread of its own, so that blocking SDK clients can be tested."""

    def __init__(self) -> None:
        self._answers: deque[Answer] = deque()
        self._responder: Callable[[Received], Answer] | None = None
        self._arrived = threading.Condition()
        self.requests: list[Received] = []
        self._loop = asyncio.new_event_loop()
        started: threading.Event = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="upstream", daemon=True)
        self._thread.start()
        assert started.wait(PATIENCE_S), "the mock upstream did not start"

    # What tests say and ask.

    def reset(self) -> None:
        """Forgets what was said and received. Every test begins so."""
        self._answers.clear()
        self._responder = None
        self.requests = []

    def answer(self, *answers: Answer) -> None:
        """Sets the answers to the next requests, in order."""
        self._answers.extend(answers)

    def answer_with(self, responder: Callable[[Received], Answer]) -> None:
        """Lets a function answer every request."""
        self._responder = responder

    @property
    def unused_answers(self) -> int:
        return len(self._answers)

    @property
    def only_request(self) -> Received:
        """The one request that was received."""
        assert len(self.requests) == 1, f"{len(self.requests)} requests were received"
        return self.requests[0]

    def wait_for_request(self, number: int = 0) -> Received:
        """Waits until a request has been received."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.requests) > number, PATIENCE_S), "no request was received"
            return self.requests[number]

    def stop(self) -> None:
        """Closes everything."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE_S)

    # The server.

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main(started))
        self._loop.close()

    async def _main(self, started: threading.Event) -> None:
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Task] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopping.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        received = await read_request(reader)
        answer = self._next_answer(received)
        with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
        try:
            await send(writer, answer)
            if answer.end is End.HANG:
                # Nothing may follow a request that is not answered: what ends this is the peer's leaving.
                await reader.read(1)
        except ConnectionError:
            received.closed.set()
            return False
        match answer.end:
            case End.COMPLETE:
                return True
            case End.RST:
                reset = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                writer.transport.abort()
            case End.HANG:
                received.closed.set()
        return False

    def _next_answer(self, received: Received) -> Answer:
        if self._responder is not None:
            return self._responder(received)
        if self._answers:
            return self._answers.popleft()
        return json_answer({"error": {"message": "the test has set no answer for this request"}}, status=418)


async def read_request(reader: asyncio.StreamReader) -> Received:
    """Reads one request; the gateway always tells the length of a body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines)]
    body = await reader.readexactly(int(dict(headers).get("content-length", "0")))
    return Received(method, path, headers, body)


async def send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Writes an answer up to its end."""
    if answer.silent:
        return
    whole = len(answer.pieces) <= 1 and answer.end is End.COMPLETE
    framing = f"content-length: {len(answer.body)}" if whole else "transfer-encoding: chunked"
    lines = [
        f"HTTP/1.1 {answer.status} Recorded",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
        framing,
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    for piece in answer.pieces:
        writer.write(piece if whole else b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
    if not whole and answer.end is End.COMPLETE:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
