"""Adapters: what is trained. Targets in the original model's words, fp32 weights beside frozen Linears, three file dialects.

An adapter never enters the transformer's module tree: it patches ``forward`` of the Linears it serves. So state dicts stay
the base model's own, base weights may be swapped or quantised underneath, and taking the adapter off leaves no trace.
"""
