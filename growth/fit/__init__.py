"""LiGO's fit: an operator's factors are learned on the target module's own loss, the source's weights staying fixed."""

from growth.fit.batches import IGNORED_LABEL, Batch, Batches, mean_loss
from growth.fit.loop import Fit, FitOutcome
from growth.fit.state import FitState, Point

__all__ = ["IGNORED_LABEL", "Batch", "Batches", "Fit", "FitOutcome", "FitState", "Point", "mean_loss"]
