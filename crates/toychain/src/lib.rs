//! A toy chain that asks for signatures as a CometBFT node does; links nothing of the rule book.
