"""How this interpreter becomes the launcher of a stdio server.

The platform runs each stdio server below a small process that ends it, and all it started, also when the
platform was killed. That process is this interpreter again, with the compiled half and nothing else: it starts
without environment and site-packages.
"""

from __future__ import annotations

import sys

from . import _native

_LINE = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("mcp_platform._native", sys.argv[1])
native = module_from_spec(spec)
spec.loader.exec_module(native)
native._run_launcher()
"""


def command() -> list[str]:
    """Program and arguments; empty where the host does not say which interpreter it is."""
    if not sys.executable:
        return []
    return [sys.executable, "-I", "-S", "-c", _LINE, str(_native.__file__)]
