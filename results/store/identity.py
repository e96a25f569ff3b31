"""The hashes of the store: the identity of a task, and the checksum of a record."""

from __future__ import annotations

import hashlib
import json

from results.errors import ResultsError
from results.types import Json

CHECKSUM = "checksum"  # the key of a record's checksum
PREFIX = 12  # hexadecimal digits of an identity in the name of its folder


def canonical(spec: Json) -> str:
    """The text of a specification that is hashed: sorted keys, floats as repr, no NaN.

    1 and 1.0 give different texts, so values need the types of their dataclass. Raises ResultsError for values that
    JSON does not have.
    """
    try:
        return json.dumps(spec, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        cure = "use only finite numbers, strings, booleans, null, lists and objects"
        raise ResultsError(f"a task cannot be identified: {error}", next=cure) from error


def identity(spec: Json) -> str:
    """SHA-256 of the canonical text of a specification, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def checksum(record: Json) -> str:
    """SHA-256 of a record without its checksum. It does not depend on how the JSON is written."""
    return identity({key: value for key, value in record.items() if key != CHECKSUM})


def sealed(record: Json) -> dict[str, object]:
    """The record with its checksum."""
    return {**record, CHECKSUM: checksum(record)}
