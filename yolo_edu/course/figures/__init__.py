"""The course's figures, drawn from the live modules; `python -m yolo_edu.course.figures` writes them to img/.

`diagram` is the drawing kit, `display` puts figures on a page, `book` fills img/; the other files hold the figures
of one lesson each.
"""

from yolo_edu.course.figures.assignment import *
from yolo_edu.course.figures.augmentation import *
from yolo_edu.course.figures.book import FIGURES, FOLDER, PHOTOS, write
from yolo_edu.course.figures.boxes import *
from yolo_edu.course.figures.capstone import *
from yolo_edu.course.figures.clinic import *
from yolo_edu.course.figures.convolution import *
from yolo_edu.course.figures.csp import *
from yolo_edu.course.figures.darknet import *
from yolo_edu.course.figures.dense import *
from yolo_edu.course.figures.diagram import DIM, INK, LEVEL_COLORS, WORK_COLORS, hex_color
from yolo_edu.course.figures.display import html_image, show
from yolo_edu.course.figures.head import *
from yolo_edu.course.figures.losses import *
from yolo_edu.course.figures.maps import map_grid
from yolo_edu.course.figures.neck import *
from yolo_edu.course.figures.network import *
from yolo_edu.course.figures.network_map import MAP_ALT, map_rows, network_map
from yolo_edu.course.figures.own_data import *
from yolo_edu.course.figures.spp import *
from yolo_edu.course.figures.start import *
from yolo_edu.course.figures.training import *
