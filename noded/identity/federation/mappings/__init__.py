"""Mappings: rules that read what identity providers say."""
