"""TensorRT on the device: the CUDA runtime, the builder, the engine cache, the runner."""
