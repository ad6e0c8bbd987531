"""Every training option, once: one pydantic model per section, one ``option(...)`` per option.

The names are Musubi Tuner's wherever it has the option; section names are ours and carry no meaning when a file is read.
"""

from engine.config.sections.base import Section
from engine.config.sections.hardware import AttentionSection, CompileSection, DistributedSection, MemorySection
from engine.config.sections.learning import NetworkSection, TrainingSection
from engine.config.sections.models import ModelSection
from engine.config.sections.reports import HuggingFaceSection, LoggingSection, MetadataSection
from engine.config.sections.results import SamplingSection, SaveSection, ValidationSection
from engine.config.sections.sources import DatasetSection, RunSection
from engine.config.sections.stepping import OptimizerSection, TimestepsSection

__all__ = [
    "AttentionSection",
    "CompileSection",
    "DatasetSection",
    "DistributedSection",
    "HuggingFaceSection",
    "LoggingSection",
    "MemorySection",
    "MetadataSection",
    "ModelSection",
    "NetworkSection",
    "OptimizerSection",
    "RunSection",
    "SamplingSection",
    "SaveSection",
    "Section",
    "TimestepsSection",
    "TrainingSection",
    "ValidationSection",
]
