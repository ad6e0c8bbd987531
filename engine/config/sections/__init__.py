"""Every training option, once: one pydantic model per section, one ``option(...)`` per option.

The names are Musubi Tuner's wherever it has the option; section names are ours and carry no meaning when a file is read.
"""

from engine.config.sections.base import Section
from engine.config.sections.hardware import AttentionSection, CompileSection, DistributedSection, MemorySection
from engine.config.sections.learning import NetworkSection, OptimizerSection, TimestepsSection, TrainingSection
from engine.config.sections.results import (
    HuggingFaceSection,
    LoggingSection,
    MetadataSection,
    SamplingSection,
    SaveSection,
    ValidationSection,
)
from engine.config.sections.sources import DatasetSection, ModelSection, RunSection

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
