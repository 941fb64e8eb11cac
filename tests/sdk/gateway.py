"""The tollgate binary, running."""

import os
import re
import subprocess
import threading
from pathlib import Path

from upstream import PATIENCE_S

BANNER = re.compile(r"listening on\s+(http://127\.0\.0\.1:\d+)")


class Gateway:
    """A gateway process on a port of its own."""

    def __init__(self, config: Path) -> None:
        binary = os.environ.get("TOLLGATE_BINARY")
        assert binary, "set TOLLGATE_BINARY to the tollgate binary, or start these tests with tests/sdk/run"
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [binary, "run", "--config", str(config.resolve()), "--listen", "127.0.0.1:0"],
            cwd=config.resolve().parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith(("TOLLGATE_", "RUST_"))},
        )
        self._reader = threading.Thread(target=self._read, name="gateway-stderr", daemon=True)
        self._reader.start()
        self.url = self._wait_for_url()

    @property
    def said(self) -> str:
        """Everything on standard error so far."""
        with self._changed:
            return "".join(self._lines)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """Asks the process to stop, and checks that it ends well."""
        self._process.terminate()
        try:
            status = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the gateway did not stop:\n{self.said}") from None
        finally:
            self._reader.join(PATIENCE_S)
            assert self._process.stderr is not None
            self._process.stderr.close()
        assert "panicked" not in self.said, self.said
        assert status == 0, f"the gateway ended with status {status}:\n{self.said}"

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait_for_url(self) -> str:
        def banner() -> re.Match | None:
            return BANNER.search("".join(self._lines))

        with self._changed:
            self._changed.wait_for(lambda: banner() is not None or self._ended, PATIENCE_S)
            found = banner()
        if found is None:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the gateway did not start:\n{self.said}")
        return found[1]
