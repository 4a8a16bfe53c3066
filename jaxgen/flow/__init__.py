"""Generative models in continuous time, along any Gaussian path."""
