"""Faults in the block engine: real extent and volume servers, disks and cables, guests, and a judge of what they saw.

`python -m tests.faults.block` injects them; docs/faults.md says which, and what came of it.
"""
