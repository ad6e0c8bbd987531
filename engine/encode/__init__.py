"""The two cache stages: pictures and clips to latents, captions to embeddings, each item to one file.

Only what is not current is encoded, the encoder is loaded only if there is something to do, and a file is either whole or
absent. Names, tensor keys and metadata are Musubi Tuner's with our provenance added, so that both tools serve each other.
``work`` hands out what is to be made, shared by claims with whoever fills the same folder; ``pipeline`` reads ahead of the encoders
and writes behind them, bounded by bytes, however large the dataset and however long a clip.
"""

from engine.data.contexts import latent_context
from engine.encode.latents import encode_latents
from engine.encode.text import encode_text, text_context

__all__ = ["encode_latents", "encode_text", "latent_context", "text_context"]
