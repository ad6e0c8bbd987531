"""Model files: read any layout users have on disk, translate names, place tensors, save files whole or not at all."""
