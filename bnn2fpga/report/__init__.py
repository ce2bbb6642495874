"""The report as pages and pictures, made of report.json alone.

Knows facts as plain data; nothing of designs."""
