"""What TensorRT says while it builds, loads and runs.

TensorRT keeps the first logger of a process and goes on writing to it, also when whoever brought it is gone. So there is one for each of
its modules, which is never freed, and a ``Log`` is what was said since it was made.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from types import ModuleType
from typing import Any

KEPT = 200
"""Messages, the latest; a program may run for months."""
SHOWN = 6

_loggers: dict[type, Any] = {}
"""``ILogger`` of a module -> its logger."""


class Log:
    """``logger`` is what TensorRT takes."""

    def __init__(self, trt: ModuleType):
        if trt.ILogger not in _loggers:
            _loggers[trt.ILogger] = _logger(trt)
        self.logger = _loggers[trt.ILogger]
        self._since = next(self.logger.numbers)

    def messages(self) -> list[tuple[bool, str]]:
        """(whether it is an error, else a warning; text), those of others at the same time among them."""
        return [(is_error, text) for number, is_error, text in list(self.logger.said) if number > self._since]

    def text(self) -> str:
        """The last errors, or where there is none, the last warnings, as the end of a message."""
        messages = self.messages()
        errors = [text for is_error, text in messages if is_error] or [text for _, text in messages]
        return "TensorRT's log: " + (" | ".join(errors[-SHOWN:]) or "empty")


def _logger(trt: ModuleType) -> Any:
    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants it by name
            self.said: deque[tuple[int, bool, str]] = deque(maxlen=KEPT)
            self.numbers = count()

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING):
                self.said.append((next(self.numbers), severity != trt.ILogger.WARNING, message.strip()))

    return Logger()
