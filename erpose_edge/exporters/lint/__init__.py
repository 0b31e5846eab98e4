"""The Q/DQ linter: what keeps a quantized graph from being fast or exact."""
