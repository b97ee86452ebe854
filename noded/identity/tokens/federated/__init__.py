"""Signing in by the word of an identity provider (Identity API v3, OS-FEDERATION: "Request an unscoped token")."""
