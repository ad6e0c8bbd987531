"""Wan 2.x: video and picture models of Alibaba; UMT5-XXL text, causal 3-D VAE."""
