"""The autoencoder, from which the lecture starts, and what it lacks to be a generative model.

    lecture                                       here
    z = encoder(x), smaller than x                networks.Encoder, Parts.encode
    x_hat = decoder(z), similar to x              networks.Decoder, Parts.decode, Parts.reconstruct
    L2 loss ||x - x_hat||^2, no labels            objective.reconstruction_loss
    features that initialise a supervised model   evaluate.linear_probe, evaluate.few_label_accuracy
    no new images: the space of z is unknown      the model's `sample`, which decodes z ~ N(0, I) all the same

Without hidden layers the best autoencoder is known: oracle.LinearAutoencoder, the principal components.
`model(Config(...), spec)` puts them together.
"""

from jaxgen.autoencoder import objective, oracle
from jaxgen.autoencoder.config import Config
from jaxgen.autoencoder.model import Parts, model

__all__ = ["Config", "Parts", "model", "objective", "oracle"]
