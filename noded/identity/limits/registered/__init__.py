"""Registered limits: what holds for everybody who has no limit of their own."""
