"""JSON, which everything without a type of Python's own crosses the language boundary as."""

from __future__ import annotations

import json
from typing import Any

from .errors import InvalidInputError


def write(name: str, value: Any) -> str:
    """The JSON text of an argument, or an error that names it."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"`{name}` is no JSON: {error}"
        raise InvalidInputError(message, operation="binding.json", details={"field": name}) from error


def read(text: str) -> Any:
    """A result."""
    return json.loads(text)
