"""The patients of lesson 14: detectors with one planted fault each, trained for seconds beside a healthy twin.

`parts` holds the faults, each real code that differs from the module in one place; `patients` what people say about
them and what they are; `ward` trains and evaluates; `signs` are the measurements that confirm a diagnosis; `records`
reads what `benchmarks/clinic.py` measured over several seeds.
"""

from yolo_edu.course.clinic.parts import FAULTS, HEALTHY, Parts
from yolo_edu.course.clinic.patients import PATIENTS, Patient, symptom_table
from yolo_edu.course.clinic.records import Record, healthy_range, read_records
from yolo_edu.course.clinic.signs import SIGNS, Sign
from yolo_edu.course.clinic.ward import Stay, Ward

__all__ = [
    "FAULTS",
    "HEALTHY",
    "PATIENTS",
    "SIGNS",
    "Parts",
    "Patient",
    "Record",
    "Sign",
    "Stay",
    "Ward",
    "healthy_range",
    "read_records",
    "symptom_table",
]
