# %% [markdown]
# # Glossary: what people say, and what it means
#
# An appendix to the course. Words are in the order in which you meet them; the last column links to the lesson that builds the thing.
# The symbols come first, because they are the same in every lesson, figure and docstring.
#
# ## Symbols and colors
#
# | symbol | means |
# |---|---|
# | B | images in a batch |
# | A | anchors a grid cell has; 3 everywhere in this course |
# | C | channels of a feature map |
# | H, W | height and width of an image in pixels; h, w of a feature map in cells |
# | K | classes |
# | N | boxes |
# | L | levels; 3 everywhere in this course |
# | P3, P4, P5 | the feature maps at strides 8, 16 and 32: blue, orange and green in the figures |
# | N3, N4, N5 | the same three maps when they leave the neck |
# | σ | the sigmoid, 1 / (1 + e⁻ˣ); in the parameter table it is the column of standard deviations, called sigma there |
# | the June 2020 release, R1 | YOLOv5 release 1.0, the article's network: `yolo_edu.YOLOv5` |
# | release 7.0, R7 | YOLOv5 of November 2022: `yolo_edu.YOLOv5v6` |
#
# In diagrams, sky blue is work with weights, yellow is pooling and resizing, purple is where tensors meet, vermilion is what the text is about.
#
# ## Words
#
# | people say | what it means | lesson |
# |---|---|---|
# | detection | a box, a class and a confidence, for one object in one image | [00](00_start_here.ipynb) |
# | confidence | objectness × class probability. It orders boxes; nothing makes it a frequency | [00](00_start_here.ipynb) |
# | xyxy | a box as left, top, right, bottom in pixels; y points down | [00](00_start_here.ipynb) |
# | cxcywh, "YOLO format" | a box as center, width, height; in label files divided by the image's width and height | [00](00_start_here.ipynb) |
# | threshold | boxes with a lower confidence are not shown | [00](00_start_here.ipynb) |
# | NMS, non-maximum suppression | of several boxes of one class that overlap strongly, only the surest stays | [00](00_start_here.ipynb) |
# | precision | the share of the reported boxes that are right | [00](00_start_here.ipynb) |
# | recall | the share of the objects that were found | [00](00_start_here.ipynb) |
# | backbone | the rows that take the image down to strides 8, 16, 32: less where, more what | [04](04_csp_darknet.ipynb) |
# | neck | the rows between backbone and head, which mix the three levels | [06](06_fpn_pan.ipynb) |
# | head | the last convolutions and Detect, which turn maps into boxes | [07](07_anchors_and_detect.ipynb) |
