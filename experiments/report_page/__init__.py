"""Output folders as one HTML file each that needs nothing else: no network, no script, no other file."""
