"""jaxgen: generative models in JAX, equation by equation.

Import the rooms you need: `from jaxgen import data, plot, train, vae`. Nothing heavy is imported before it is
used: importing jaxgen costs little more than importing jax, flax and optax.
"""

__version__ = "0.1.0"
