"""What people say about cards: a layer beside the readings, never inside them."""
