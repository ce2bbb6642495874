"""The integer dataflow graph: types, streams, layers, the abstract kernel, and kernels joined by edges.

Knows what circuits are made of, and the operations that the host's driver can do."""
