"""The autoencoder, from which the lecture starts, and what it lacks to be a generative model.

    equation                                           here
    z = encoder(x), smaller than x                     networks.Encoder, Parts.encode
    x_hat = decoder(z), similar to x                   networks.Decoder, Parts.decode, .reconstruct
    L2 loss ||x - x_hat||^2, no labels                 objective.reconstruction_loss; its optimum where it is known,
                                                         PCA: oracle.principal_components
    an autoencoder's features initialise a supervised  evaluate.features.linear_probe, .fine_tune, .few_label_accuracy
    model
    no new images: the space of z is unknown           the samples of model, which decodes z ~ N(0, I) all the same

Without hidden layers the best autoencoder is known: oracle.LinearAutoencoder, the principal components.
`model(Config(...), spec)` puts them together.
"""

from jaxgen.autoencoder import objective, oracle
from jaxgen.autoencoder.config import Config
from jaxgen.autoencoder.model import Parts, model

__all__ = ["Config", "Parts", "model", "objective", "oracle"]
