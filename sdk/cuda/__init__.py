"""What runs on NVIDIA GPUs beside TensorRT: the driver layer. Nothing of CUDA is imported before it is used."""
