"""What the machine is: read from metadata, the driver and the kernel. Imports no torch; asks nothing of the network."""
