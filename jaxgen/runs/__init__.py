"""Runs: an experiment trained in a folder from which it can be resumed, sampled, evaluated and verified.

The same from a notebook and from the command line:

    from jaxgen import runs
    from jaxgen.experiments import digits_vae

    outcome = runs.train(digits_vae.Config(seed=1), "runs/mine")
    outcome = runs.resume("runs/mine")
    report = runs.verify("runs/mine")
    runs.compare(["runs/mine", "runs/other"])
    runs.gallery(["runs/mine", "runs/other"], out="gallery.html")

A run of an experiment outside jaxgen is used with `experiment=`, its file, module or Config (`jaxgen.runs.outside`):

    runs.resume("runs/own", experiment="my_experiment.py")
"""

from jaxgen.runs import outside
from jaxgen.runs.compare import Comparison, compare
from jaxgen.runs.compression import compress, decompress
from jaxgen.runs.fidelity import fidelity
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.gallery import gallery
from jaxgen.runs.launch import Outcome, resume, train
from jaxgen.runs.sampling import Samples, draw, sample
from jaxgen.runs.settings import Experiment, Settings
from jaxgen.runs.use import Trained, evaluate, load, load_model
from jaxgen.runs.verify import Report, verify

__all__ = [
    "Comparison",
    "Experiment",
    "Outcome",
    "Report",
    "RunFolder",
    "Samples",
    "Settings",
    "Trained",
    "compare",
    "compress",
    "decompress",
    "draw",
    "evaluate",
    "fidelity",
    "gallery",
    "load",
    "load_model",
    "outside",
    "resume",
    "sample",
    "train",
    "verify",
]
