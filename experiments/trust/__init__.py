"""Why the figures can be trusted: the engine against theory and measurements, and what errors change."""
