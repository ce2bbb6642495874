"""Files that are broken at random: the compiler answers with a network or with one line."""
