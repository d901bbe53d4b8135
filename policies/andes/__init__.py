"""Andes: the scheduler that serves whose experience gains most from it (arXiv 2404.16283)."""

from policies.andes.policy import Andes

__all__ = ["Andes"]
