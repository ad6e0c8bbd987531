"""Training: the loop that reads like the paper, and the parts it is made of.

``objective`` (noise, interpolate, predict, loss), ``timesteps``, ``optimizers``, ``schedules``, ``state`` (resume),
``validation``, ``saver`` and ``loop``. What enters is a loaded model, an adapter and batches; what leaves are events and
files. No family, quantiser or offloader is known here.
"""
