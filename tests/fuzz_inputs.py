"""Damage as hypothesis strategies, and the property that every reader keeps whatever it is given."""

from __future__ import annotations

from hypothesis import strategies as st

from experiments.trust.fuzz_edits import FRAGMENTS, KINDS, Edit, damaged
from experiments.trust.fuzz_targets import Target

GROUPS = (
    *("study", "grid", "trace as", "trace azure", "trace mooncake", "trace vidur", "trace burstgpt", "trace bailian"),
    *("log as", "log vllm", "log sglang", "log aiperf", "log guidellm", "log genai-perf", "log llmperf"),
    *("profile", "calibration table", "model config", "token log", "measured log", "results", "table of a study"),
)
"""How the names of targets begin: each group is a test, so that they can run side by side."""

edits = st.builds(
    Edit,
    kind=st.sampled_from(KINDS),
    at=st.floats(0, 1, exclude_max=True),
    width=st.integers(1, 30),
    pick=st.integers(0, len(FRAGMENTS) - 1),
)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Sound inputs of the target with up to four pieces of damage."""
    return st.builds(damaged, st.sampled_from(target.seeds), st.lists(edits, max_size=4))
