"""From a network to a trained arm: losses, the loop, transfer from a parent arm, the run store, sweeps."""
