"""The steps of a build: from a model to a folder, verified level by level, resumable.

Knows every room but the command line."""
