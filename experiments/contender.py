"""What competes in a study: a policy under its limits, with a way of delivering its tokens."""

from __future__ import annotations

from typing import NamedTuple

from policies.presets import make_served
from simulator.delivery import Delivery, make_delivery
from simulator.policy import EngineLimits, SchedulerPolicy


class Contender(NamedTuple):
    """A new policy for one run, the limits that it runs under, and the delivery of its tokens."""

    policy: SchedulerPolicy
    limits: EngineLimits
    delivery: Delivery


def contender(spec: str, limits: EngineLimits, delivery: str = "immediate") -> Contender:
    """The contender that `spec` names: "policy", "policy:parameter=value", or either with "@delivery" behind it.

    For instance "vllm_v1" or "fcfs@hold_tokens:gap=0.1". A preset brings limits of its own in place of `limits`;
    `delivery` is that of specs that do not say. Raises ValueError naming what is unknown or does not fit.
    """
    served, _, its_delivery = spec.partition("@")
    return Contender(*make_served(served, limits), make_delivery(its_delivery or delivery))
