"""Papers of your own: the folder that `paper new` writes, the notebook built from an experiment, and the report."""
