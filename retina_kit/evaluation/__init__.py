"""From a trained arm to scored rows, statistics over patients and seeds, and the papers' printed numbers."""
