"""The papers' evaluations, run again, and the page that says of each claim whether it was reproduced."""
