"""This kit against its peers: same network, same images, same batch, one run, ratios. `retina-kit bench` starts it."""
