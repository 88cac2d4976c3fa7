"""What figures are put together from: arrangements of panels, colour scales, ticks and names."""
