"""Tokens for who signed a request with an EC2 secret: asked for by the service that got it."""
