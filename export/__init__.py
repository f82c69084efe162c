"""torch -> ONNX -> engine; parity and latency."""
