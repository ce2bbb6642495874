"""Design to Design."""
