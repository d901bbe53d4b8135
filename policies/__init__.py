"""Scheduling policies: one small file each, found by name here or through an outside package's entry point."""

from policies.registry import make_policy, policy_class, policy_names

__all__ = ["make_policy", "policy_class", "policy_names"]
