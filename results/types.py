"""Names for the types that many modules of `results` pass around."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]  # a JSON object: a task, a record (`store.schema`) or a part of one
Cell = Mapping[str, Any]  # a row of `aggregation.cells`: column name → value
