"""From a manifest row to a tensor: cards, manifests, downloads, splits, preprocessing, synthetic eyes."""
