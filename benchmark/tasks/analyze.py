"""Analyze: run one analysis of condensed sets and experts, and record its result."""

from __future__ import annotations

from benchmark import analyses
from benchmark.analyses.base import CondensedSet
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome
from benchmark.training.protocols import WHOLE
from results.store.schema import Status


def analyze(attempt: Attempt) -> Outcome:
    """Make the task's analysis. Sets that diverged or are unsupported are left out, unless all of them are."""
    resolved = attempt.resolved
    for identity in resolved["experts"]:
        if skip_reason := attempt.skip_reason("prepare", identity):
            return skip_reason
    identities = [identity for identity in resolved["sets"] if identity != WHOLE]
    records = {identity: attempt.store.record({"kind": "condense", "identity": identity}) for identity in identities}
    sets = [
        CondensedSet(attempt, identity, record)
        for identity, record in records.items()
        if record and record["status"] == Status.OK
    ]
    for identity, record in records.items():
        if record is None or not sets:
            skip_reason = attempt.skip_reason("condense", identity)
            assert skip_reason is not None
            return skip_reason
        if record["status"] != Status.OK:
            attempt.log(f"left out: condense {identity[:12]}, {record['status']}: {record['message']}")
    return analyses.get(resolved["analysis"]).run(attempt, sets)
