"""Demonstrations: how each metric can be fooled, on a request made by hand and on a whole system under load."""
