"""What runs on NVIDIA GPUs around TensorRT: the driver layer, the kernels, and the pipeline made of them.

Nothing of CUDA is imported before it is used.
"""
