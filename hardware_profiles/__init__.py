"""Hardware profiles: how long iterations of a model take on a device, and how much KV cache there is."""

from hardware_profiles.loader import load_profile, profile_names
from hardware_profiles.profile import Profile

__all__ = ["Profile", "load_profile", "profile_names"]
