"""The paper's theorems, bounds and simulations."""
