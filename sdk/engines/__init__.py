"""TensorRT engines: built from models, kept in files with a header of ours, and in a cache."""
