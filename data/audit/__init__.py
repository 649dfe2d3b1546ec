"""What is wrong with a data set, and what is worth knowing of it, from one look at every file."""
