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
# | feature map | one channel of a layer's output: the photo as seen by one kernel | [01](01_convolution_block.ipynb) |
# | kernel, filter | the small grid of weights that slides over the input, one layer of it for each input channel | [01](01_convolution_block.ipynb) |
# | stride | pixels the window moves between two outputs; in a whole network, pixels of the image between neighboring cells | [01](01_convolution_block.ipynb) |
# | padding | rows and columns of zeros added around a map so that it keeps its size; cells at the border read them too | [01](01_convolution_block.ipynb) |
# | parameters | the numbers that training changes; what BatchNorm measures is not among them | [01](01_convolution_block.ipynb) |
# | FLOPs | floating-point operations, here 2 × multiply-adds of convolutions. They count work; they do not measure time | [01](01_convolution_block.ipynb) |
# | BatchNorm | brings each channel to mean 0 and variance 1, then scales by γ and shifts by β; the batch's own numbers in training, running averages in evaluation | [01](01_convolution_block.ipynb) |
# | momentum of BatchNorm | the weight of the new batch in the running average, the opposite of an optimizer's momentum | [01](01_convolution_block.ipynb) |
# | activation | a function that bends each number on its own; its derivative decides how much gradient passes back | [01](01_convolution_block.ipynb) |
# | fusing, folding | putting BatchNorm's constants into the convolution's weight and a bias: same answers, in evaluation only | [01](01_convolution_block.ipynb) |
# | receptive field | the pixels that can influence one cell; the effective one, which does so noticeably, is much smaller | [01](01_convolution_block.ipynb) |
# | dense block | layers on one grid, each reading the block's input and all earlier outputs, side by side on channels | [02](02_dense_block.ipynb) |
# | growth rate, k | how many new channels one dense layer adds | [02](02_dense_block.ipynb) |
# | concatenation | maps put side by side on channels. Nothing is added up; widths add, and the next layer pays for them | [02](02_dense_block.ipynb) |
# | pre-activation | BatchNorm and activation come before the convolution, so every reader normalizes what it reads for itself | [02](02_dense_block.ipynb) |
# | bottleneck | a 1 × 1 convolution to fewer channels before the 3 × 3 one | [02](02_dense_block.ipynb) |
# | transition | BatchNorm, activation and a 1 × 1 convolution that mixes and shrinks channels, in DenseNet with a 2 × 2 mean | [02](02_dense_block.ipynb) |
# | compression, θ | the share of its channels that a transition keeps | [02](02_dense_block.ipynb) |
# | vanishing gradient | the gradient shrinks at every layer on its way back, until little reaches the first ones | [02](02_dense_block.ipynb) |
# | checkpointing (of activations) | results are dropped after the forward pass and computed again in the backward pass: memory for time | [02](02_dense_block.ipynb) |
# | cross-stage partial, CSP | a stage in which part of the channels goes round the expensive layers and joins them at the end | [03](03_csp.ipynb) |
# | split, x₀′ and x₀″ | the channels are divided: x₀′ goes round, x₀″ goes through. YOLOv5 projects all channels twice instead | [03](03_csp.ipynb) |
# | projection | a 1 × 1 convolution: each output channel is a weighted sum of all input channels | [03](03_csp.ipynb) |
# | BottleneckCSP | the stage of the June 2020 release: cv1, bottlenecks and cv3 deep, cv2 direct, one BatchNorm at the joint, cv4 | [03](03_csp.ipynb) |
# | C3 | the stage of release 7.0: BottleneckCSP without the convolution behind the bottlenecks | [03](03_csp.ipynb) |
# | shortcut | whether a bottleneck adds its input to its output; off in the neck, where the direct path remains | [03](03_csp.ipynb) |
# | stored activations | feature maps that wait for the backward pass; in training they often need more memory than the weights | [03](03_csp.ipynb) |
# | backbone | the rows that take the image down to strides 8, 16, 32: less where, more what | [04](04_csp_darknet.ipynb) |
# | stage | a run of layers on maps of one size; it begins by halving the map | [04](04_csp_darknet.ipynb) |
# | stem | the first layer, which takes in the image | [04](04_csp_darknet.ipynb) |
# | residual block | 1 × 1 then 3 × 3 convolution whose result is added to its input | [04](04_csp_darknet.ipynb) |
# | Darknet-53 | YOLOv3's backbone: 52 convolutions; the 53rd layer is the classifier's, which a detector cuts off | [04](04_csp_darknet.ipynb) |
# | CSPDarknet53 | YOLOv4's backbone: Darknet-53's stages split in two paths, with Mish. YOLOv5's is a relative, not a copy | [04](04_csp_darknet.ipynb) |
# | Focus, space to depth | every second row and column become four small pictures on the channels, then a convolution | [04](04_csp_darknet.ipynb) |
# | spatial pyramid pooling, SPP | maxima over windows or bins of several sizes, put side by side | [05](05_spp.ipynb) |
# | bin | one of m × m parts of a map, whatever its size; it gives its maximum, channel by channel | [05](05_spp.ipynb) |
# | SPPF | three max-pools of 5 in a row instead of 5, 9 and 13 side by side: the same numbers with fewer comparisons | [05](05_spp.ipynb) |
# | fully connected layer | has a weight for every number that comes in, so it fits one input size only | [05](05_spp.ipynb) |
# | fully convolutional network | takes images of any size and answers with a grid that grows with the image | [05](05_spp.ipynb) |
# | neck | the rows between backbone and head, which let the three maps exchange what they know, sizes unchanged | [06](06_fpn_pan.ipynb) |
# | top-down path | from the coarse map to the fine one | [06](06_fpn_pan.ipynb) |
# | bottom-up path | from the fine map to the coarse one. The backbone is one; PAN adds a second | [06](06_fpn_pan.ipynb) |
# | lateral | the branch that brings a backbone map into the neck at its own size | [06](06_fpn_pan.ipynb) |
# | FPN | a top-down path: enlarge the coarser result, add the lateral, smooth | [06](06_fpn_pan.ipynb) |
# | PAN | FPN followed by a second bottom-up path. YOLOv5 takes that path and concatenates | [06](06_fpn_pan.ipynb) |
# | nearest upsampling | every cell repeated 2 × 2; no parameters | [06](06_fpn_pan.ipynb) |
# | RoI | a proposed box that a second stage cuts out of a feature map; YOLOv5 has none | [06](06_fpn_pan.ipynb) |
# | adaptive feature pooling | each RoI is cut out of every level and the element-wise maximum is kept; belongs to two-stage detectors | [06](06_fpn_pan.ipynb) |
# | head | the last convolutions and Detect, which turn maps into boxes | [07](07_anchors_and_detect.ipynb) |
# | anchor | a width and a height without a place; the network predicts a factor of it | [07](07_anchors_and_detect.ipynb) |
# | objectness | the head's answer to "is there an object?" for one anchor in one cell | [07](07_anchors_and_detect.ipynb) |
# | logit, raw prediction | the number before the sigmoid; a box only after decoding | [07](07_anchors_and_detect.ipynb) |
# | decoding | raw x, y, w, h to a box in pixels: (2σ − 0.5 + cell) · stride and (2σ)² · anchor | [07](07_anchors_and_detect.ipynb) |
# | responsible cell | the cell that holds the center of the object's box; in YOLOv5 up to two neighbors as well | [07](07_anchors_and_detect.ipynb) |
# | closeness | how alike an anchor and a label are: the worse of the two side ratios, 1 if equal; above 1/4 fits | [07](07_anchors_and_detect.ipynb) |
# | best possible recall, BPR | the share of labels that at least one anchor fits; the others are never trained on | [07](07_anchors_and_detect.ipynb) |
# | autoanchor | a check before training that searches for anchors if the best possible recall is low | [07](07_anchors_and_detect.ipynb) |
# | prior, bias initialization | starting the last layer at the rate of objects that real images have, so that the first loss is not all "nothing here" | [07](07_anchors_and_detect.ipynb) |
# | depth multiple | scales the number of bottlenecks in a stage; rounded, at least 1 | [08](08_yolov5.ipynb) |
# | width multiple | scales every row's channels, rounded up to a multiple of 8 | [08](08_yolov5.ipynb) |
# | model file, cfg | two multiples, anchors and rows of [from, number, module, args] | [08](08_yolov5.ipynb) |
# | parameter tensor | one array that training changes; a Conv has three: weight, γ, β. The article's table calls it a layer | [08](08_yolov5.ipynb) |
# | state dict | parameters, plus what BatchNorm has measured, plus the anchors | [08](08_yolov5.ipynb) |
# | fan-in | how many numbers one output adds up: input channels × kernel area | [08](08_yolov5.ipynb) |
# | standard error | how far a mean of n random numbers strays from the true one: σ/√n | [08](08_yolov5.ipynb) |
# | meta device | builds a network of shapes without numbers, in milliseconds and without memory | [08](08_yolov5.ipynb) |
# | hull | the smallest upright box around two boxes; GIoU charges for the part of it that neither fills | [09](09_boxes_nms_map.ipynb) |
# | IoU | the shared area of two boxes, divided by the area that they cover together | [09](09_boxes_nms_map.ipynb) |
# | GIoU | IoU minus the empty share of the hull; it still has a gradient when two boxes do not touch | [09](09_boxes_nms_map.ipynb) |
# | DIoU | IoU minus the squared center distance, measured in hull diagonals | [09](09_boxes_nms_map.ipynb) |
# | CIoU | DIoU minus a weighted difference of aspect ratios; the weight carries no gradient | [09](09_boxes_nms_map.ipynb) |
# | agnostic NMS | boxes of different classes suppress each other too | [09](09_boxes_nms_map.ipynb) |
# | average precision, AP | the mean of the envelope's precision at the recalls 0, 0.01 … 1; recalls never reached count as 0 | [09](09_boxes_nms_map.ipynb) |
# | mAP50, mAP50-95 | mean AP over the classes at an IoU bar of 0.5, and over ten bars from 0.50 to 0.95 | [09](09_boxes_nms_map.ipynb) |
# | slot | one anchor in one cell of one level of one image: the place where a box is predicted | [10](10_target_assignment.ipynb) |
# | entry, positive | "this slot must predict this class and this box"; one slot may hold several | [10](10_target_assignment.ipynb) |
# | frame | what a box's numbers are measured in and from which corner: photo, square, cells of a level, one cell | [10](10_target_assignment.ipynb) |
# | ratio test, anchor_t | an anchor takes an object if neither side differs by a factor of 4 or more, in either direction | [10](10_target_assignment.ipynb) |
# | neighbor cells | up to two cells nearest to the center that must predict the object too | [10](10_target_assignment.ipynb) |
# | contested slot | two objects claim one slot: both count for box and class, the last entry decides objectness | [10](10_target_assignment.ipynb) |
# | unassigned object | a labeled object without any entry: training treats it as background | [10](10_target_assignment.ipynb) |
# | binary cross-entropy with logits | the cost of a yes/no answer, computed from the raw number so that nothing overflows | [11](11_loss.ipynb) |
# | double sigmoid | the network ends in a sigmoid and the loss applies it again; training hardly moves | [11](11_loss.ipynb) |
# | gain | the factor of a term of the loss; it changes which error pulls how hard, and the number you watch | [11](11_loss.ipynb) |
# | objectness target | the present overlap of the slot's box with the truth, at least 0, detached | [11](11_loss.ipynb) |
# | detach | use a value as a goal that the network cannot move | [11](11_loss.ipynb) |
# | balance | factors of the levels' objectness, because a mean gives a cell of a fine grid less weight | [11](11_loss.ipynb) |
# | focal loss, fl_gamma | cross-entropy times α (1 − p)^γ of the right answer: easy answers are silenced; 0 switches it off | [11](11_loss.ipynb) |
# | label smoothing | asks for 1 − ε/2 and ε/2 instead of 1 and 0; the best loss is then above 0 | [11](11_loss.ipynb) |
# | augmentation | changed pictures with answers that are still known, because the change is known | [12](12_data_and_freebies.ipynb) |
# | letterbox | one scale for both axes, the rest gray; scale, left and top bring boxes there and back | [12](12_data_and_freebies.ipynb) |
# | linter | checks the form of labels: file, line, way out. Whether a box is true, only eyes see | [12](12_data_and_freebies.ipynb) |
# | mosaic | four photos meeting at a random center on a canvas of twice the size, of which a part becomes the image | [12](12_data_and_freebies.ipynb) |
# | affine warp | one matrix and a shift for all pixels; a box becomes the upright hull of its four warped corners | [12](12_data_and_freebies.ipynb) |
# | MixUp | two images laid over each other; in release 7.0 about half and half, with all boxes of both | [12](12_data_and_freebies.ipynb) |
# | CutMix | a rectangle of one image shows another; boxes keep what can still be seen of them | [12](12_data_and_freebies.ipynb) |
# | DropBlock | dropout of whole squares, because neighboring cells could fill in single holes | [12](12_data_and_freebies.ipynb) |
# | bag of freebies | what changes training only; inference stays as fast, training does not | [12](12_data_and_freebies.ipynb) |
# | ablation | the same training with one thing changed; seeds show how much equal attempts differ | [12](12_data_and_freebies.ipynb) |
# | momentum of SGD | the step goes on in the direction of earlier gradients; Nesterov looks one step ahead | [13](13_training_loop.ipynb) |
# | weight decay | pulls weights toward zero a little at every step; biases and BatchNorm are spared | [13](13_training_loop.ipynb) |
# | warm-up | the first steps are small, because nothing is known about the scale of the gradients yet | [13](13_training_loop.ipynb) |
# | learning rate schedule | how the step size changes over the epochs: linear or cosine | [13](13_training_loop.ipynb) |
# | accumulation | gradients of several batches are added before a step, as if the batch were larger | [13](13_training_loop.ipynb) |
# | EMA | a moving average of the weights; it is what is evaluated and kept | [13](13_training_loop.ipynb) |
# | AMP, mixed precision | the forward pass in 16 bits, weights and loss in 32 | [13](13_training_loop.ipynb) |
# | overfitting | what is learned holds for the training photos only | [13](13_training_loop.ipynb) |
# | twin (in the clinic) | the same training from the same start without the fault; a symptom counts only against it | [14](14_bug_clinic.ipynb) |
# | symptom | what shows in curves and pictures; several faults can share one | [14](14_bug_clinic.ipynb) |
# | sign | one measurement that speaks for one cause and against the others | [14](14_bug_clinic.ipynb) |
# | oracle swap | one part of the answer is replaced by the truth; what mAP gains is what this part costs | [14](14_bug_clinic.ipynb) |
# | localization error | the right class with a box that overlaps the object too little, IoU 0.1 to 0.5 | [14](14_bug_clinic.ipynb) |
# | confusion (mistake) | a good box, IoU at least 0.5, with another object's name | [14](14_bug_clinic.ipynb) |
# | duplicate | a second detection of an object that a better one has already | [14](14_bug_clinic.ipynb) |
# | background error | a detection where no object is, IoU below 0.1 with all | [14](14_bug_clinic.ipynb) |
# | data set YAML | the file that says where the photos are and which class is which number; labels are found by replacing `images` with `labels` | [15](15_your_own_data.ipynb) |
# | EXIF orientation | a tag that says how to turn the stored pixels; boxes drawn without it fit another picture | [15](15_your_own_data.ipynb) |
# | data leakage | the same or nearly the same photo in two splits, so that a score measures memory | [15](15_your_own_data.ipynb) |
# | val and test split | val chooses epoch and settings; test measures once what was chosen | [15](15_your_own_data.ipynb) |
# | transfer, fine-tuning | starting from numbers learned on other photos; what fits is copied, class rows by name | [15](15_your_own_data.ipynb) |
# | freezing | rows that get no gradient and keep their BatchNorm statistics | [15](15_your_own_data.ipynb) |
# | pickle | instructions that rebuild objects and can call any function while being read; old weights files are pickles | [15](15_your_own_data.ipynb) |
# | safetensors | numbers and a text header; nothing in it can be executed | [15](15_your_own_data.ipynb) |
# | ONNX | a network as a file that other programs run; it must be fed RGB, 0 to 1, letterboxed | [15](15_your_own_data.ipynb) |
# | bootstrap | drawing the test photos again with replacement, to see how much a score hangs on which photos they are | [15](15_your_own_data.ipynb) |
# | background photo | a photo with an empty label file: nothing here | [15](15_your_own_data.ipynb) |
# | profile | which network, photo size and epochs a kind of machine is given | [16](16_train_on_gpu.ipynb) |
# | relative change | length of the difference to the start, divided by the length of the start; says nothing about use | [16](16_train_on_gpu.ipynb) |
# | linear probe | one linear function fitted to a layer's channels and judged on new photos; means little without an untrained control | [16](16_train_on_gpu.ipynb) |
# | dead channel | a channel that says the same everywhere on all photos, zero or not | [16](16_train_on_gpu.ipynb) |
# | pruning | cutting channels out, and usually training on afterwards | [16](16_train_on_gpu.ipynb) |
# | network slimming | all channels ranked together by the absolute γ; in the paper after a penalty on γ and with training afterwards | [16](16_train_on_gpu.ipynb) |
# | statistics taken anew | BatchNorm's mean and variance measured again after a change, without a training step | [16](16_train_on_gpu.ipynb) |
