"""Chooses the folding of every kernel, and puts width converters between them."""
