"""Training of networks by one recipe, in modes or not, kept after every epoch so that it can be resumed."""
