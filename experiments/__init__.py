"""Studies: run policies on workloads, judge them, keep and show the results; the command `smoothserve`."""
