"""JavaScript and styles of kept libraries as their Python packages ship them, packed to lie in a page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import lru_cache
from typing import Any

from itables.utils import read_package_file
from plotly.offline import get_plotlyjs


@lru_cache(maxsize=1)
def libraries() -> dict[str, str]:
    """DataTables (code and style) and Plotly, each as `packed` text."""
    return {
        "datatables": packed(read_package_file("html", "dt_bundle.js")),
        "datatables-style": packed(read_package_file("html", "dt_bundle.css")),
        "plotly": packed(get_plotlyjs()),
    }


def packed(text: str) -> str:
    """Text as base64 of gzip: a third of its size, without a character that HTML takes for itself."""
    return base64.b64encode(gzip.compress(text.encode(errors="backslashreplace"), mtime=0)).decode()


def packed_json(value: Any) -> str:
    """`packed` of a JSON value."""
    return packed(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def mark(script: str) -> str:
    """How a content security policy names an inline script that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
