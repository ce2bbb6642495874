"""QONNX graphs: read, executed, transformed; nothing of designs."""
