"""Networks that others keep as parameters without a graph, as designs."""
