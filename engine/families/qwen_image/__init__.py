"""Qwen-Image: Alibaba's 20B picture model; Qwen2.5-VL text, Wan-shaped VAE."""
