"""This kit beside its peers: same network, same pictures, same batch, one run, ratios. `retina-kit bench` starts it."""
