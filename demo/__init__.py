"""The web demo: a Gradio app over ``sdk``, run from a checkout by `make demo` or `python -m demo`."""
