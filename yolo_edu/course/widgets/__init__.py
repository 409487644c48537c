"""Things to play with, each a function of plain arguments. `frame` shows them; the other files hold a lesson's each.

A live widget stands where widgets run, and a picture of its default state elsewhere.
"""

from yolo_edu.course.widgets.assignment import *
from yolo_edu.course.widgets.augmentation import *
from yolo_edu.course.widgets.boxes import *
from yolo_edu.course.widgets.capstone import *
from yolo_edu.course.widgets.clinic import *
from yolo_edu.course.widgets.convolution import *
from yolo_edu.course.widgets.csp import *
from yolo_edu.course.widgets.darknet import *
from yolo_edu.course.widgets.dense import *
from yolo_edu.course.widgets.drag import BoxCanvas
from yolo_edu.course.widgets.frame import Explorer, explore, show
from yolo_edu.course.widgets.head import *
from yolo_edu.course.widgets.losses import *
from yolo_edu.course.widgets.neck import *
from yolo_edu.course.widgets.network import *
from yolo_edu.course.widgets.own_data import *
from yolo_edu.course.widgets.spp import *
from yolo_edu.course.widgets.start import *
from yolo_edu.course.widgets.training import *
