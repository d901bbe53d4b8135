"""What arrives, when and how long: workloads drawn from distributions or read from traces."""

from simulator.workload.arrivals import Arrivals, GammaArrivals, PoissonArrivals
from simulator.workload.burst import BurstCycle
from simulator.workload.expectations import with_expectations
from simulator.workload.length_table import LengthTable, length_table_names, load_length_table
from simulator.workload.lengths import FixedLengths, GeometricLengths, Lengths
from simulator.workload.mixed import RequestClass, mixed_workload
from simulator.workload.mooncake import write_mooncake
from simulator.workload.patience import Impatience, with_patience
from simulator.workload.predictions import with_predictions
from simulator.workload.synthetic import synthetic_workload
from simulator.workload.trace_table import TraceError
from simulator.workload.traces import FORMATS, read_trace
from simulator.workload.transform import limit, rescale_rate
from simulator.workload.workload import Workload

__all__ = [
    "FORMATS",
    "Arrivals",
    "BurstCycle",
    "FixedLengths",
    "GammaArrivals",
    "GeometricLengths",
    "Impatience",
    "LengthTable",
    "Lengths",
    "PoissonArrivals",
    "RequestClass",
    "TraceError",
    "Workload",
    "length_table_names",
    "limit",
    "load_length_table",
    "mixed_workload",
    "read_trace",
    "rescale_rate",
    "synthetic_workload",
    "with_expectations",
    "with_patience",
    "with_predictions",
    "write_mooncake",
]
