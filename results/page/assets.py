"""JavaScript and styles from the Python packages of DataTables and Plotly, compressed for a page."""

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
    """Text as base64 of gzip: a third of its size and without characters that are special in HTML."""
    return base64.b64encode(gzip.compress(text.encode(errors="backslashreplace"), mtime=0)).decode()


def packed_json(value: Any) -> str:
    """`packed` of a JSON value."""
    return packed(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def script_hash(script: str) -> str:
    """The name by which a content security policy allows an inline script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
