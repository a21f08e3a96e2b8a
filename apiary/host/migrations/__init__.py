"""Migrations of the chat app's own tables."""
