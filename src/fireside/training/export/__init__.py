"""A checkpoint or an adapter as GGUF files, quantized and proven equal."""
