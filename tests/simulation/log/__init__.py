"""The replicated log in bad weather: what a world is made of, what it must keep, and cores that do not keep it."""
