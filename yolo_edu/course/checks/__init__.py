"""Exercise checks. Each takes the learner's answer, prints a verdict, and returns what the lesson goes on with.

`functions`, `modules` and `counts` judge; the other files hold the exercises of one lesson each.
"""

from yolo_edu.course.checks.assignment import *
from yolo_edu.course.checks.augmentation import *
from yolo_edu.course.checks.boxes import *
from yolo_edu.course.checks.capstone import *
from yolo_edu.course.checks.clinic import *
from yolo_edu.course.checks.convolution import *
from yolo_edu.course.checks.counts import count_parameters
from yolo_edu.course.checks.csp import *
from yolo_edu.course.checks.darknet import *
from yolo_edu.course.checks.dense import *
from yolo_edu.course.checks.head import *
from yolo_edu.course.checks.losses import *
from yolo_edu.course.checks.neck import *
from yolo_edu.course.checks.network import *
from yolo_edu.course.checks.own_data import *
from yolo_edu.course.checks.spp import *
from yolo_edu.course.checks.start import *
from yolo_edu.course.checks.training import *
