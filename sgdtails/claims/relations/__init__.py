"""Relations of two quantities beyond Spearman's rho: Kendall's tau, over all runs or one setting at a time, and two lines."""
