"""Connecting by OAuth: PKCE, one-time flows, and what is special about each server."""
