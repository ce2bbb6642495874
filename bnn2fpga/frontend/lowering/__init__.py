"""From a streamlined graph to a Design: one file a rule."""
