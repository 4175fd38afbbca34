"""What a layout costs before it runs: memory, traffic and time from a config and a description of the cluster."""

from hf_parallel.cost.cluster import ACCELERATORS, Accelerator, Cluster, UnknownAcceleratorError
from hf_parallel.cost.estimate import Estimate, Memory, Times, Workload, estimate
from hf_parallel.cost.measure import ModelFacts, model_facts
from hf_parallel.cost.outlook import Outlook, outlook
from hf_parallel.cost.search import Advice, advise, largest_batch, rank_layouts

__all__ = [
    "ACCELERATORS",
    "Accelerator",
    "Advice",
    "Cluster",
    "Estimate",
    "Memory",
    "ModelFacts",
    "Outlook",
    "Times",
    "UnknownAcceleratorError",
    "Workload",
    "advise",
    "estimate",
    "largest_batch",
    "model_facts",
    "outlook",
    "rank_layouts",
]
