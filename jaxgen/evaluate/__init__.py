"""Evaluation that knows no family: arrays and callables in, numbers out."""

from jaxgen.evaluate.classifier import ImageClassifier, TrainedClassifier, class_histogram, class_kl, train_classifier
from jaxgen.evaluate.features import Classifier, balanced_choice, few_label_accuracy, fine_tune, linear_probe
from jaxgen.evaluate.likelihood import bits_per_dim, estimate, estimates, per_example
from jaxgen.evaluate.modes import ModeStatistics, mode_statistics
from jaxgen.evaluate.neighbours import Distances, Memorisation, Nearest, memorisation, nearest
from jaxgen.evaluate.parzen import ParzenResult, choose_sigma, kmeans_centroids, parzen, parzen_log_prob

__all__ = [
    "Classifier",
    "Distances",
    "ImageClassifier",
    "Memorisation",
    "ModeStatistics",
    "Nearest",
    "ParzenResult",
    "TrainedClassifier",
    "balanced_choice",
    "bits_per_dim",
    "choose_sigma",
    "class_histogram",
    "class_kl",
    "estimate",
    "estimates",
    "few_label_accuracy",
    "fine_tune",
    "kmeans_centroids",
    "linear_probe",
    "memorisation",
    "mode_statistics",
    "nearest",
    "parzen",
    "parzen_log_prob",
    "per_example",
    "train_classifier",
]
