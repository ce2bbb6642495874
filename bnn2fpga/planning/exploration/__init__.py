"""Many foldings of one network: the points, where they are computed, and the best of them."""
