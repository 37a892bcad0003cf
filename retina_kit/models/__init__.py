"""The networks of the four papers, with the parameter counts that the papers and their code give."""
