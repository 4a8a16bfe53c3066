"""Training of an average velocity between two times, as a choice of a config."""

from dataclasses import dataclass

from jaxgen import require


@dataclass(frozen=True)
class Average:
    """The network learns the average velocity u(x_t, r, t) on the way from t to r, with which one step makes a sample.

    Args:
        ratio: Share of the training examples with r < t; the others have r = t, where u is the velocity itself.
        power: Power of the adaptive weight 1 / (||e||^2 + tiny)^power of the squared error; 0 for none.
        guidance: Weight w that the samples are guided with, without a second call of the network; 1 for none.
        kappa: Share of the network's own conditional prediction in the guided velocity.

    Raises:
        ValueError: A number out of its range.

    Source: Geng et al. 2025 (MeanFlow), section 4 and appendix A.
    """

    ratio: float = 0.25
    power: float = 1.0
    guidance: float = 1.0
    kappa: float = 0.0

    def __post_init__(self):
        require.number("ratio", self.ratio, 0, 1)
        require.number("power", self.power, 0)
        require.number("guidance", self.guidance, 0)
        require.number("kappa", self.kappa, 0, below=1)
        require.fields(self)
