"""Files that the project ships, reads and writes: templates, settings, generated texts, output folders.

Knows nothing of what is in them."""
