"""Foreign libraries, each in its own file: nothing else in Easel imports them."""
