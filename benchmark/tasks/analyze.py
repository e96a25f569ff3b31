"""Analyze: run one analysis of condensed sets and experts, and record its result."""

from __future__ import annotations

from benchmark import analyses
from benchmark.analyses.base import CondensedSet
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome
from results.store.schema import WHOLE_SET, Status


def analyze(attempt: Attempt) -> Outcome:
    """Make the task's analysis. Sets that diverged or are unsupported are left out, unless all of them are."""
    resolved = attempt.resolved
    for identity in resolved["experts"]:
        if outcome := attempt.failed_input_outcome("prepare", identity):
            return outcome
    identities = [identity for identity in resolved["sets"] if identity != WHOLE_SET]
    records = {identity: attempt.store.record({"kind": "condense", "identity": identity}) for identity in identities}
    sets = [
        CondensedSet(attempt, identity, record)
        for identity, record in records.items()
        if record and record["status"] == Status.OK
    ]
    for identity, record in records.items():
        if record is None or not sets:
            outcome = attempt.failed_input_outcome("condense", identity)
            assert outcome is not None
            return outcome
        if record["status"] != Status.OK:
            attempt.log(f"left out: condense {identity[:12]}, {record['status']}: {record['message']}")
    return analyses.get(resolved["analysis"]).run(attempt, sets)
