"""Computing on a device: precision, chunks, compilation, memory, and the description of the machine."""
