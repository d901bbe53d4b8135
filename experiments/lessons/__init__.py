"""Lessons that one can touch: marimo notebooks whose sliders rerun the simulator."""
