"""What a person types and sees: commands, tables, progress.

Knows everything; nothing knows it."""
