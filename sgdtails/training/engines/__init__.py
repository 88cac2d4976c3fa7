"""Steps of SGD: stacks of fully connected networks, any torch module, CUDA graphs."""
