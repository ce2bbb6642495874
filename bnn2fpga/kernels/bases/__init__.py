"""What kernels share: folding, memories, tables. A file here is no kernel."""
