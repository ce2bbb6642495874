"""Boards as facts, one TOML file each.

Knows nothing of designs."""
