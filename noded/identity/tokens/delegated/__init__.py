"""Signing in with what a user handed on: an application credential, an OAuth access token, a trust."""
