"""Evaluation that knows no family: arrays and callables in, numbers out."""

from jaxgen.evaluate.accuracy_score import classification_accuracy_score
from jaxgen.evaluate.agreement import Agreement, agreements, gaussian_agreement
from jaxgen.evaluate.classifier import ImageClassifier, TrainedClassifier, class_histogram, class_kl, train_classifier
from jaxgen.evaluate.distortion import psnr, sharpness, spectral_distance, ssim
from jaxgen.evaluate.features import (
    Classifier,
    balanced_choice,
    few_label_accuracy,
    few_label_probe,
    fine_tune,
    linear_probe,
)
from jaxgen.evaluate.fidelity import FewSamplesWarning, Fidelity, fidelity
from jaxgen.evaluate.frechet import frechet_bias, frechet_distance
from jaxgen.evaluate.imputation import Pooled, pooled
from jaxgen.evaluate.kernel_distance import kernel_distance, squared_discrepancy
from jaxgen.evaluate.layers import layer_features, layer_outputs
from jaxgen.evaluate.likelihood import bits_per_dim, estimate, estimates, per_example
from jaxgen.evaluate.manifolds import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    neighbour_memory,
    precision_recall,
)
from jaxgen.evaluate.modes import ModeCounts, ModeStatistics, mode_counts, mode_statistics, stacked_classes
from jaxgen.evaluate.moments import Moments, merged, moments
from jaxgen.evaluate.neighbours import Distances, Memorisation, Nearest, memorisation, nearest
from jaxgen.evaluate.parzen import ParzenResult, choose_sigma, kmeans_centroids, parzen, parzen_log_prob
from jaxgen.evaluate.photometry import Photometry, TwoSamples, photometry, two_samples
from jaxgen.evaluate.reference import RealImages, Reference, checked_num, largest_num, reference
from jaxgen.evaluate.representation import (
    Features,
    classifier_features,
    looked_at,
    pixel_features,
    trained_judge,
)
from jaxgen.evaluate.samples import samples, takes_labels
from jaxgen.evaluate.score import Conditions, Score, alike, leader, ranking
from jaxgen.evaluate.spectrum import Spectrum, in_bins, power_spectrum

__all__ = [
    "Agreement",
    "Classifier",
    "Conditions",
    "DensityCoverage",
    "Distances",
    "Features",
    "FewSamplesWarning",
    "Fidelity",
    "ImageClassifier",
    "Memorisation",
    "ModeCounts",
    "ModeStatistics",
    "Moments",
    "Nearest",
    "ParzenResult",
    "Photometry",
    "Pooled",
    "PrecisionRecall",
    "RealImages",
    "Reference",
    "Score",
    "Spectrum",
    "TrainedClassifier",
    "TwoSamples",
    "agreements",
    "alike",
    "balanced_choice",
    "bits_per_dim",
    "checked_num",
    "choose_sigma",
    "class_histogram",
    "class_kl",
    "classification_accuracy_score",
    "classifier_features",
    "density_coverage",
    "estimate",
    "estimates",
    "few_label_accuracy",
    "few_label_probe",
    "fidelity",
    "fine_tune",
    "frechet_bias",
    "frechet_distance",
    "gaussian_agreement",
    "in_bins",
    "kernel_distance",
    "kmeans_centroids",
    "largest_num",
    "layer_features",
    "layer_outputs",
    "leader",
    "linear_probe",
    "looked_at",
    "memorisation",
    "merged",
    "mode_counts",
    "mode_statistics",
    "moments",
    "nearest",
    "neighbour_memory",
    "parzen",
    "parzen_log_prob",
    "per_example",
    "photometry",
    "pixel_features",
    "pooled",
    "power_spectrum",
    "precision_recall",
    "psnr",
    "ranking",
    "reference",
    "samples",
    "sharpness",
    "spectral_distance",
    "squared_discrepancy",
    "ssim",
    "stacked_classes",
    "takes_labels",
    "train_classifier",
    "trained_judge",
    "two_samples",
]
