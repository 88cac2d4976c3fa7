"""SGD steps: stacks of fully connected networks, any torch module, CUDA graphs."""
