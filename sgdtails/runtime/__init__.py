"""How jobs run: their logs and errors, devices, reserved GPUs, containers. Imports nothing of what is computed."""
