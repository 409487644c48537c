# %% [markdown]
# # Claims ledger: what the course states, and what produces it
#
# An appendix, written by `notebooks/ledger.py`. First the claims of every lesson with their checks. Then every number of three digits or more in the lessons' prose (years, references and code left out), each once a lesson, with the strongest place that it was found in: an assertion, a cell's output, its code, a test, a setting of the module, a measured result.
#
# Of 268 numbers, 268 were found.
#
# ## 00 [00_start_here](00_start_here.ipynb)
#
# | claim | checked by |
# |---|---|
# | the photos were not trained on | train and val are separate folders; `benchmarks/data_leakage.py` compares their pixels |
# | hiding boxes afterwards equals a new run | argument in section 3; assertion on two photos at four thresholds |
# | recall never rises with the threshold | assertion in section 3 |
# | your conversion and your counts are right | exercises 0.1 and 0.2, against a reference on random inputs |
# | the map shows YOLOv5 s as it is | drawn from the live model; `tests/test_figures.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 400 | … e just wrong. Predict, then run: a photo is 400 pixels wide and 200 high, the box is (100, 5 … | a cell's output |
# | 200 | … ct, then run: a photo is 400 pixels wide and 200 high, the box is (100, 50, 300, 150). … | `yolo_edu/garden_paint.py` |
# | 100 | … is 400 pixels wide and 200 high, the box is (100, 50, 300, 150). … | a cell's output |
# | 300 | … xels wide and 200 high, the box is (100, 50, 300, 150). … | a cell's output |
# | 150 | … wide and 200 high, the box is (100, 50, 300, 150). … | `benchmarks/results/clinic.json` |
# | 0.05 | … it only hides boxes that were found once, at 0.05. May it do that, with NMS in between? Yes: a … | a cell's output |
# | 640 | … k of the article this course grew from, on a 640 × 640 image. Its grids have 80, 40 and 20 ce … | `yolo_edu/commands/anchors.py` |
# | 256 | … ells a side, because 640 / 8 = 80; yours had 256 / 8 = 32, 16 and 8. The plan is the same, so … | a cell's output |
#
# ## 01 [01_convolution_block](01_convolution_block.ipynb)
#
# | claim | checked by |
# |---|---|
# | the loops equal nn.Conv2d; the size formula | assertions in section 1 |
# | row 1 has these parameters and FLOPs; rows 1, 3, 5, 7 take equal work | assertions in section 2; `tests/test_lesson_convolution.py` |
# | BatchNorm by hand, running averages, no use for a bias | assertions in section 3 |
# | ε and momentum of both releases | assertion in section 3; `tests/test_yolov5.py`, `tests/test_yolov5_v6.py` |
# | formulas of six activations; ten sigmoids lose the gradient | assertions in section 4; `tests/test_lesson_convolution.py` |
# | three lines of arithmetic equal Conv; so does your MyConv | assertion in section 5; exercise 1.1; `tests/test_blocks.py::test_conv_by_hand` |
# | fusing changes nothing but the parameter count | exercise 1.2, assertions in section 6; `tests/test_blocks.py::test_fusing_folds_by_the_formula` |
# | the receptive field of 666 pixels at the backbone's end | exercise 1.3, assertion in section 7; `tests/test_receptive.py` |
# | the gradient fills the window, and is strongest in its middle | assertions in section 7; `tests/test_lesson_convolution.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 225 | … ⌊ (n + 2p − k) / s ⌋ + 1 Predict, then run: 225 pixels, kernel 3, stride 2, padding 1. … | a cell's output |
# | 129 | … ins with a 6 × 6 kernel; k // 2 would give 129, so it names its padding: 2. Padding has a p … | a cell's output |
# | 640 | … 2 channels to 64, kernel 3, stride 2. With a 640 × 640 image, a 320 × 320 map enters. - Para … | a cell's output |
# | 320 | … ernel 3, stride 2. With a 640 × 640 image, a 320 × 320 map enters. - Parameters: each of C<s … | a cell's output |
# | 0.97 | … is the weight of the *new* batch: running = 0.97 · running + 0.03 · batch. (An optimizer's mo … | an assertion in the lesson |
# | 0.03 | … the *new* batch: running = 0.97 · running + 0.03 · batch. (An optimizer's momentum is the wei … | an assertion in the lesson |
# | 100 | … Even 100 batches are not enough here. The start says … | an assertion in the lesson |
# | 0.80 | … (Mish's from x = 0.80 on, SiLU's from 1.28 on.) ### Ten layers of … | `tests/test_lesson_convolution.py` |
# | 1.28 | … (Mish's from x = 0.80 on, SiLU's from 1.28 on.) ### Ten layers of sigmoids Between the … | a cell's output |
#
# ## 02 [02_dense_block](02_dense_block.ipynb)
#
# | claim | checked by |
# |---|---|
# | YOLOv5 holds no dense block | assertion at the top |
# | a dense block's output begins with its input, unchanged; L(L + 1)/2 connections | assertions in section 1; `tests/test_dense.py::test_dense_block_by_hand` |
# | the layer and the block built here equal yolo_edu's | assertions in section 2, exercise 2.1 |
# | the bottleneck saves parameters from 7.2 · k + 1.6 channels on | assertion in section 2; `tests/test_lesson_dense.py::test_where_the_bottleneck_pays` |
# | mean and 1 × 1 convolution may change places | assertion in section 3 |
# | parameter counts of 121, 169, 201 equal torchvision's, 264 a formula's | assertion in section 4; `tests/test_dense.py::test_parameter_counts` |
# | yolo_edu's DenseNet-121 computes what torchvision's does | `tests/test_dense.py::test_equal_to_torchvision` |
# | the column of 264 holds 265 layers with weights | `tests/test_dense.py::test_the_name_counts_the_layers_with_weights` |
# | gradients: vanish, grow, stay | assertions in section 5; `tests/test_lesson_dense.py::test_gradients_for_other_seeds` |
# | with all weights zero the gradient of x₀ is 1 | assertion in section 5; `tests/test_dense.py::test_every_layer_hears_from_the_loss_directly` |
# | untrained, x₀ counts most; training moves the weight to the newest maps | assertions in section 6 |
# | PyTorch's weights are √6 times smaller than He's | `tests/test_lesson_dense.py::test_default_weights_are_small` |
# | stored channels grow with the square of the depth, and linearly when computed again | assertions in section 7; `tests/test_lesson_dense.py::test_cost_of_a_block` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 264 | … tions, and read the table of DenseNet-121 to 264, - measure what the direct connections do to … | a cell's output |
# | 224 | … eNet-121 the first block's layers read 64 to 224 channels: there the bottleneck costs more th … | a cell's output |
# | 256 | … s more than it saves. The third block's read 256 to 992, and there it pays. ### Exercise 2.2 … | a cell's output |
# | 992 | … than it saves. The third block's read 256 to 992, and there it pays. ### Exercise 2.2 · Numbe … | a cell's output |
# | 121 | … r. BatchNorms and pools are not counted. For 121 that is 1 convolution in the stem, two in ea … | an assertion in the lesson |
# | 169 | … o the last parameter. The name fits for 121, 169 and 201. The paper's column of 264 adds up t … | a cell's output |
# | 201 | … st parameter. The name fits for 121, 169 and 201. The paper's column of 264 adds up to 265; to … | a cell's output |
# | 265 | … nd 201. The paper's column of 264 adds up to 265; torchvision has no such network, so there a … | a cell's output |
# | 0.41 | … ayers, so each layer hands back about 1/√6 = 0.41 of what it gets, and 0.41¹⁹ is 4·10⁻⁸. - Bat … | `tests/test_lesson_dense.py` |
# | 1426 | … 6 with growth rate 32 and take fewer FLOPs (1,426 million for 2,081), but store more. With 6 l … | `tests/test_lesson_dense.py` |
#
# ## 03 [03_csp](03_csp.ipynb)
#
# | claim | checked by |
# |---|---|
# | YOLOv5 holds no dense layer; half of its CSP stages stand in the neck | counted on the live network, before section 1 |
# | the block from scratch equals yolo_edu's | assertions in section 1, exercise 3.1; `tests/test_dense.py::test_csp_dense_block_by_hand` |
# | a stage's FLOPs are those of its convolutions, and fusion first and last are cheaper still | assertions in section 2 |
# | the split computes less, far from one half | measured and asserted in section 2; `tests/test_dense.py::test_csp_stands_in_for_a_dense_stage_and_computes_less` |
# | stored activations are counted right | assertion in section 2; `tests/test_lesson_csp.py::test_stored_activations_by_hand` |
# | how accurate fusion first and last are | **not checked here**: the paper's experiments |
# | x₀ enters all five readers bit for bit the same | assertion in section 3 |
# | the gradient of x₀′ ignores the dense block | assertion in section 3; `tests/test_dense.py::test_bypassed_channels_never_enter_the_dense_block` |
# | repeated gradients hurt learning | **not checked here**: the paper's experiments |
# | the ledger's terms are the gradients | assertion in section 3; `tests/test_lesson_csp.py::test_ledger_terms_by_hand` |
# | BottleneckCSP and C3 from scratch equal yolo_edu's | assertions in section 4, exercise 3.2; `tests/test_blocks.py::test_bottleneck_csp_by_hand`, `tests/test_blocks.py::test_c3_by_hand` |
# | C3 is BottleneckCSP without one Conv | assertion in section 4 |
# | the parameters of row 2 | exercise 3.3; `tests/test_summary.py` |
# | with one or three bottlenecks a CSP stage keeps more activations than plain bottlenecks | assertions in section 4 |
# | what row 4's maps react to | printed in section 5; `tests/test_lesson_csp.py::test_what_the_maps_of_row_4_react_to` |
# | rows 4 and 8: which silence costs cards | assertions in section 5, for this network and these photos only |
#
# | number | in these words | produced by |
# |---|---|---|
# | 224 | … a transition, with a growth rate of 32, on a 224 × 224 image. Half of the channels go round. … | a cell's output |
# | 128 | … split leaves them as they are: they read the 128 channels that each layer's 1 × 1 convolution … | a cell's output |
# | 0.85 | … annels with 2 layers and growth rate 8 needs 0.85 of the FLOPs, where the first setting needed … | `tests/test_lesson_csp.py` |
# | 0.96 | … of the FLOPs, where the first setting needed 0.96.</details> Fusion first, fusion last. The p … | a cell's output |
# | 0.25 | … boxes put out, with a confidence of at least 0.25, on all validation photos. … | a cell's code |
#
# ## 04 [04_csp_darknet](04_csp_darknet.ipynb)
#
# | claim | checked by |
# |---|---|
# | Darknet-53 has 52 convolutions and one linear layer | assertion in section 1; `tests/test_darknet.py::test_darknet53_has_53_layers` |
# | the stages are what the papers describe | equal to stages written by hand, sections 1 and 2; `tests/test_darknet.py::test_csp_stage_by_hand` |
# | parameters, FLOPs and receptive field of CSPDarknet53 are the paper's (CSPResNeXt50's are quoted) | assertion in section 2; `tests/test_darknet.py::test_csp_darknet53_parameters` |
# | CSPDarknet53 detects better than CSPResNeXt50; Mish helps it to classify | the YOLOv4 paper; not measured here |
# | Focus loses no pixel; its order of phases | assertion in section 3; `tests/test_blocks.py::test_focus_phases_by_hand` |
# | `pixel_unshuffle` has another order | `tests/test_lesson_darknet.py::test_pixel_unshuffle_is_another_order` |
# | Focus with a 3 × 3 convolution is a 6 × 6 convolution | assertions in section 3, both directions; `tests/test_blocks.py::test_focus_is_a_six_wide_convolution` |
# | P3, P4, P5 are rows 4, 6, 9 | assertion in section 4; `tests/test_activations.py::test_rows_are_what_the_walks_return` |
# | rows 7 to 9 tell a card from the rest, row 6 tells its sides, better than random weights | measured on photos that chose no channel, assertions in section 5 |
# | 500 pixels fail in the neck, 506 do not | `tests/test_lesson_darknet.py::test_500_pixels_fail_in_the_neck` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 256 | … h figure, drawn from the live module while a 256 pixel image goes through it. "3 × 3 / 2" is … | a cell's output |
# | 18.7 | … work: its maps are small. (The paper prints 18.7 billion operations for all of it; counting c … | `benchmarks/results/clinic.json` |
# | 18.57 | … s only, two operations a multiply-add, gives 18.57.) ### A stage from scratch A residual block … | a cell's output |
# | 128 | … part of the *second* stage: 64 channels in, 128 out, two residual blocks (the drawing shows … | a cell's output |
# | 640 | … times the weights. Predict, then run: on a 640 × 640 image Darknet's stem takes the FLOPs p … | a cell's output |
# | 944 | … The strided Convs, 944 MFLOPs each, show the rule that shapes every … | a cell's output |
# | 500 | … s out a map of full size. Halving rounds up: 500 → 250 → 125 → 63 → 32 → 16. (All channel co … | a cell's output |
# | 250 | … a map of full size. Halving rounds up: 500 → 250 → 125 → 63 → 32 → 16. (All channel counts a … | a cell's output |
# | 125 | … of full size. Halving rounds up: 500 → 250 → 125 → 63 → 32 → 16. (All channel counts and rep … | a cell's output |
#
# ## 05 [05_spp](05_spp.ipynb)
#
# | claim | checked by |
# |---|---|
# | bins with explicit loops = `SpatialBins`; the length never changes | assertion in section 2; `tests/test_pyramid.py::test_bins_by_hand` |
# | SPP's pools are the only ones in the network | assertion in section 2 |
# | SPP by loops over windows = SPP = the trained network's row 9 | assertions in section 3; `tests/test_blocks.py::test_spp_by_hand` |
# | zeros outside the map would change the border, and only the border | assertion in section 3 |
# | lines 87 to 92 hold 656,896 parameters; 0.524 GFLOPs | exercise 5.2; assertions in section 4; `tests/test_lesson_spp.py::test_the_numbers_of_the_block` |
# | SPP(5, 9, 13) = SPPF(5) exactly, also in a detector | assertions in section 5; `tests/test_blocks.py::test_sppf_is_spp_bit_for_bit` |
# | with means it would not work | assertion in section 5 |
# | a cell reads 218 pixels before SPP and 602 after | `tests/test_receptive.py`; `tests/test_lesson_spp.py::test_the_numbers_of_the_block` |
# | the trained network looks as far as computed, across and down | assertion in section 6 |
# | without its pools the card detector loses less than 0.02 of mAP50 | assertion in section 6 |
# | another order loads and computes something else | `tests/test_lesson_spp.py::test_another_order_loads` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 640 | … ds in a map of 20 × 20 cells for an image of 640 × 640 pixels). On a first reading you may sk … | a cell's code |
# | 512 | … of the backbone, where the map is coarsest. 512 channels of 20 × 20 cells go in, 512 channel … | an assertion in the lesson |
# | 320 | … age: 20 × 20 cells at 640 pixels, 10 × 10 at 320. And the place is lost: … | `tests/test_lesson_spp.py` |
# | 256 | … PF (section 5). It was trained on squares of 256 pixels. We show it a photo at 640, because t … | an assertion in the lesson |
# | 400 | … map is cheap, because a weight is used only 400 times. Keep the last percentage in mind. The … | a cell's output |
# | 272 | … st time and count as nothing. SPPF has 72 of 272 comparisons left, not none. This is why "the … | a cell's output |
# | 218 | … omputed and measured Before SPP a cell reads 218 pixels, and neighboring cells stand 32 pixel … | a cell's output |
# | 960 | … han the window, so we take the card photo at 960 pixels. The trained network is another one ( … | a cell's code |
# | 266 | … er one (release 7.0, size n): its cells read 266 pixels before the pools, in row 8, and 266 + … | a cell's output |
# | 384 | … pixels before the pools, in row 8, and 266 + 384 = 650 after them, in row 9. … | a cell's code |
# | 650 | … before the pools, in row 8, and 266 + 384 = 650 after them, in row 9. … | a cell's output |
# | 0.027 | … that SPP raised YOLOv3's AP50 by 2.7 points (0.027 of mAP50) at 608 pixels, for 0.5 % more comp … | `benchmarks/results/clinic.json` |
# | 608 | … Ov3's AP50 by 2.7 points (0.027 of mAP50) at 608 pixels, for 0.5 % more computation. Whether … | `benchmarks/results/time_to_map_cards.json` |
#
# ## 06 [06_fpn_pan](06_fpn_pan.ipynb)
#
# | claim | checked by |
# |---|---|
# | the cards are all larger than a P5 cell; the backbone's P3 reads less than a typical card | assertions in section 1 |
# | most of the rise of r from P3 to P5 is smoothness | assertions in section 2 |
# | FPN, built from single convolutions, equals yolo_edu's; that one equals torchvision's | exercise 6.1, assertion in section 3; `tests/test_pyramid.py::test_fpn_equal_to_torchvision` |
# | a concatenation and a 1 × 1 convolution contain the sum, and FPN's lateral | assertions in section 4 |
# | PAN, adding and concatenating, equals yolo_edu's | assertion in section 5; `tests/test_pyramid.py::test_pan_by_hand` |
# | the neck from its rows equals model.neck | exercise 6.2, assertions in section 6 |
# | the counted convolutions | assertions in section 7; all ways listed one by one in `tests/test_lesson_neck.py::test_counts_are_those_of_all_ways_listed` |
# | the gradient is the sum over the doors, and least comes through P5 in every photo | assertions in section 7 |
# | grid 32 lives on the bottom-up path; for the cards grid 16 alone is enough | assertions in section 8 |
# | most photos show an object on two grids; NMS removes it | assertions in section 9 |
# | adaptive feature pooling is the maximum over levels | assertion in section 9; `tests/test_pyramid.py::test_adaptive_pooling_by_hand` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 100 | … way through a network, and judge the claim "100+ layers against about 10", - find out which … | an assertion in the lesson |
# | 256 | … the objects? Two data sets, both fitted into 256 pixels. … | an assertion in the lesson |
# | 714 | … has both: steps of 8 pixels and a window of 714. That is the whole idea of a neck. ## 2 What … | a cell's output |
# | 512 | … ad by two 1 × 1 convolutions of row 13, from 512 channels to 128 each. Half of their weights … | an assertion in the lesson |
# | 128 | … convolutions of row 13, from 512 channels to 128 each. Half of their weights read the second … | an assertion in the lesson |
# | 640 | … ff the live network of June 2020, size s, at 640 pixels. … | a cell's code |
# | 1024 | … size m: every width of size l (C = 256, 512, 1024 at P3, P4, P5; L5 and N4 have 512, L4 and N3 … | `tests/test_lesson_neck.py` |
# | 0.75 | … 5 and N4 have 512, L4 and N3 have 256) times 0.75. How many channels leave the four concatenat … | `tests/test_lesson_neck.py` |
# | 102 | … gets only when it starts at the image, with 102, and then the short way has 18. Neither pair … | a cell's output |
# | 170 | … ide is about 65 pixels, and P4 already reads 170; and 217 training photos teach a deep stage … | a cell's output |
# | 217 | … out 65 pixels, and P4 already reads 170; and 217 training photos teach a deep stage little. S … | `tests/test_lesson_neck.py` |
#
# ## 07 [07_anchors_and_detect](07_anchors_and_detect.ipynb)
#
# | claim | checked by |
# |---|---|
# | a 1 × 1 convolution is one linear layer for all cells | assertion in section 1 |
# | the head built from scratch equals `Detect` bit for bit | assertion in section 2; `tests/test_detect.py::test_layout_of_raw_maps` |
# | your layout, decoding and recall are right | exercises 7.1, 7.2, 7.3, against a reference on random inputs |
# | all boxes of a trained network decode alike, in the same order | assertion in section 5; `tests/test_detect.py::test_decode_one_box_at_a_time` |
# | both size formulas start at the anchor with slope 1; (2σ)² ends at 4, its slope at 32/27 | assertions in section 5 |
# | an IoU loss does not explode with the exponential, a squared error does | assertion and table in section 5 |
# | encode and decode undo each other | assertion in section 5; `tests/test_doctor.py::test_encode_box_is_decode_box_backwards` |
# | the biases' means follow from the formula | assertions in section 6; `tests/test_detect.py::test_biases_of_the_article` |
# | anchors are replaced below a best possible recall of 0.98 | assertion in section 7; `tests/test_anchors.py::test_the_search_starts_below_98_percent` |
# | figures and widgets say what the modules say | `tests/test_lesson_head.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 256 | … n of release 7.0 (November 2022), trained at 256 pixels. Its head has the same layout. Where … | a cell's output |
# | 400 | … tly. Then one layer would have to hit 10 and 400 equally well. It is easier to start from a s … | a cell's output |
# | 640 | … f them on one photo, shown to the network at 640 and at 256 pixels. Both panels have the same … | a cell's output |
# | 373 | … at 256 pixels as those of P4. The anchor of 373 × 326 pixels is larger than the whole input … | a cell's output |
# | 326 | … 6 pixels as those of P4. The anchor of 373 × 326 pixels is larger than the whole input of 256 … | a cell's output |
# | 416 | … size does the shark fit an anchor of P3? At 416 pixels, does one anchor fit the shark and a … | a cell's code |
# | 128 | … ails> What there is to find</summary>Only at 128 pixels: 16 × 30 and 33 × 23 fit it, at a clo … | an assertion in the lesson |
# | 0.26 | … 6 × 30 and 33 × 23 fit it, at a closeness of 0.26 and 0.29. At 416 pixels yes: 116 × 90 fits t … | `tests/test_lesson_head.py` |
# | 0.29 | … d 33 × 23 fit it, at a closeness of 0.26 and 0.29. At 416 pixels yes: 116 × 90 fits the shark … | `tests/test_lesson_head.py` |
# | 116 | … oseness of 0.26 and 0.29. At 416 pixels yes: 116 × 90 fits the shark (0.35) and one fish (0.4 … | a cell's output |
# | 0.35 | … At 416 pixels yes: 116 × 90 fits the shark (0.35) and one fish (0.43), and 59 × 119 fits the … | `tests/test_lesson_head.py` |
# | 0.43 | … 116 × 90 fits the shark (0.35) and one fish (0.43), and 59 × 119 fits the shark and three of t … | a cell's output |
# | 119 | … e shark (0.35) and one fish (0.43), and 59 × 119 fits the shark and three of the five fish (0 … | a cell's output |
# | 0.27 | … 9 fits the shark and three of the five fish (0.27 to 0.32). Fitting is a wide gate.</details> … | `tests/test_lesson_head.py` |
# | 0.32 | … he shark and three of the five fish (0.27 to 0.32). Fitting is a wide gate.</details> … | `tests/test_lesson_head.py` |
# | 11.1 | … p. What remains is overflow: in float16, exp(11.1) is infinite. (2σ)² ends at 4 whatever the n … | an assertion in the lesson |
# | 144 | … r lies above row 9, which starts at 9 · 16 = 144 pixels. It is the ace on the left of the pho … | a cell's output |
# | 0.99 | … r each anchor of each level, - ln(0.6 / (K − 0.99)) to each class bias: 80 classes together st … | an assertion in the lesson |
# | 0.99999 | … er start at about 0.6 (release 7.0 subtracts 0.99999). The article's table lists these biases: i … | `tests/test_detect.py` |
# | 148 | … article's table lists these biases: its rows 148, 169, 190 have means −4.67, −4.66 and −4.64. … | a cell's output |
# | 169 | … le's table lists these biases: its rows 148, 169, 190 have means −4.67, −4.66 and −4.64. They … | a cell's output |
# | 190 | … table lists these biases: its rows 148, 169, 190 have means −4.67, −4.66 and −4.64. They foll … | a cell's output |
# | 4.67 | … e biases: its rows 148, 169, 190 have means −4.67, −4.66 and −4.64. They follow from 8, 0.6 an … | a cell's output |
# | 4.66 | … s: its rows 148, 169, 190 have means −4.67, −4.66 and −4.64. They follow from 8, 0.6 and 640, … | a cell's output |
# | 4.64 | … s 148, 169, 190 have means −4.67, −4.66 and −4.64. They follow from 8, 0.6 and 640, which are … | a cell's output |
# | 1.06 | … The table's deviations, 1.06, 1.04 and 1.04, come out as well. They do no … | a cell's output |
# | 1.04 | … The table's deviations, 1.06, 1.04 and 1.04, come out as well. They do not meas … | a cell's output |
# | 0.98 | … one: if the best possible recall is at least 0.98, leave the anchors alone; otherwise search, … | an assertion in the lesson |
#
# ## 08 [08_yolov5](08_yolov5.ipynb)
#
# | claim | checked by |
# |---|---|
# | the rules give all sizes, and every size has its count | exercise 8.1; assertions in section 2; `tests/test_yolov5.py::test_parameter_counts` |
# | a file of rows is the whole network | section 3: the interpreter equals `YOLOv5` bit for bit |
# | the article's printout is this network, to the letter | assertion in section 4; `tests/test_summary.py` |
# | five columns of the article's table equal ours in 191 rows | assertion in section 5; `tests/test_article.py` |
# | mu and sigma are what the initialization implies | exercise 8.2; assertions in section 6; `tests/test_summary.py` |
# | a fresh network expects 71 boxes, 8 an anchor grid | assertion in section 6 |
# | 13.2 GFLOPs do not follow from the layers | section 7; `tests/test_summary.py::test_totals` counts both releases |
# | the ledger counts right | `tests/test_lesson_network.py`, against the built networks |
# | five classes change three rows | assertion in section 8; exercise 8.3 |
# | six changes lead from `YOLOv5` to `YOLOv5v6` | assertion at the end of section 9 |
#
# | number | in these words | produced by |
# |---|---|---|
# | 255 | … nnels of a level into A × (5 + K) = 3 × 85 = 255 numbers a cell. The rows, one line each. *f … | a cell's output |
# | 0.33 | … he same depth: n is s at half the width. And 0.33 is a rounded third: 9 · 0.33 = 2.97, so only … | a cell's output |
# | 2.97 | … dth. And 0.33 is a rounded third: 9 · 0.33 = 2.97, so only the rounding makes three of it. No … | `benchmarks/results/clinic.json` |
# | 256 | … 11, so it reads rows 11 and 6. Both put out 256 channels, and made notes 256 + 256 = 512 f … | a cell's output |
# | 512 | … t 256 channels, and made notes 256 + 256 = 512 for it. Row 13 finds them there as its input … | a cell's output |
# | 0.0001 | … tnotes. - eps and momentum. The release sets 0.0001 and 0.03 in every BatchNorm *after* it has b … | a cell's output |
# | 0.03 | … ps and momentum. The release sets 0.0001 and 0.03 in every BatchNorm *after* it has built the … | a cell's output |
# | 191 | … ## 5 The table of 191 rows The article ends with a table under the … | a cell's output |
# | 1179648 | … holds, printed with six digits: the largest, 1,179,648, became 1.17965e+06 / / shape / of a convolut … | a cell's output |
# | 100 | … urtosis κ of a uniform is 1.8.) About 95 of 100 draws lie within two standard errors. In the … | a cell's output |
# | 140 | … The article's 140 random numbers are as far from theory as cha … | a cell's output |
# | 148 | … joined.) ### The three rows that stand out: 148, 169 and 190 These are the biases of the pred … | a cell's output |
# | 169 | … d.) ### The three rows that stand out: 148, 169 and 190 These are the biases of the predicti … | a cell's output |
# | 190 | … The three rows that stand out: 148, 169 and 190 These are the biases of the prediction convo … | a cell's output |
# | 640 | … s among all the cells of a level, counted at 640 pixels, - each of K classes gets + ln(0.6 / … | a cell's output |
# | 0.99 | … ls, - each of K classes gets + ln(0.6 / (K − 0.99)): the K probabilities add up to about 0.6. … | a cell's output |
# | 4.67 | … So −4.67, −4.66 and −4.64 are means over 80 class off … | a cell's output |
# | 4.66 | … So −4.67, −4.66 and −4.64 are means over 80 class offsets of … | a cell's output |
# | 4.64 | … So −4.67, −4.66 and −4.64 are means over 80 class offsets of −4.88, on … | a cell's output |
# | 4.88 | … nd −4.64 are means over 80 class offsets of −4.88, one objectness offset that depends on the l … | a cell's output |
# | 0.02 | … same parameters. The multiply-adds differ by 0.02%, and the assertion says by what: torchinfo … | `tests/test_lesson_network.py` |
# | 13.2 | … , not computed here. Size s of June 2020 has 13.2. … | a cell's output |
# | 17.4 | … off by 1.1%). The same way of counting gives 17.4 for June 2020. Where 13.2 comes from we cann … | a cell's output |
# | 8576 | … ges the work and nothing else. Folding saves 8,576 parameters in s of June 2020, one for each c … | `tests/test_lesson_network.py` |
# | 7468157 | … chNorm. - "all": the whole network. You know 7,468,157 for K = 80. … | an assertion in the lesson |
# | 108 | … on of stride 2. Each filter has 12 · 3 · 3 = 108 weights before and 3 · 6 · 6 = 108 after. It … | a cell's output |
# | 0.001 | … (BatchNorm's eps changed too, from 0.0001 to 0.001. It is no parameter, so it has no card, and … | `yolo_edu/commands/test.py` |
# | 0.00001 | … as no card, and both networks are built with 0.00001 here.) … | `benchmarks/results/onnx_parity.json` |
#
# ## 09 [09_boxes_nms_map](09_boxes_nms_map.ipynb)
#
# | claim | checked by |
# |---|---|
# | conversions can be undone; IoU is the same in every frame | assertions in section 1; `tests/test_boxes.py` |
# | your IoU is right, values and gradients | exercise 9.1, against a reference on random pairs |
# | IoU has no gradient when boxes are apart, GIoU has one | assertion in section 3 |
# | the four measures from scratch equal the module's, gradients too | assertions in section 3; `tests/test_boxes.py` |
# | with IoU, boxes that start apart never move | assertion in section 3 |
# | your suppression is right; class by class, shifted and module agree | exercise 9.2; assertions in section 4; `tests/test_nms.py` |
# | NMS loses true objects that overlap | assertion in section 4 |
# | your average precision is right, and mAP is that of the COCO tools | exercise 9.3; assertion in section 5; `tests/test_metrics.py::test_average_precision_equals_pycocotools` |
# | the COCO tools match differently from release 7.0 | assertions in section 5; `tests/test_metrics.py::test_match_equals_slow_loop` |
# | figures and widgets say what the modules say; what there is to find with them | `tests/test_lesson_boxes.py`, `tests/test_lesson_boxes_cards.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 200 | … From scratch, on top of your IoU. Then 200 random pairs in one frame of pixels, and the … | an assertion in the lesson |
# | 160 | … The rate is 0.1, a tenth of that after step 160, a hundredth after step 180. We send 540 boxe … | a cell's output |
# | 180 | … that after step 160, a hundredth after step 180. We send 540 boxes of three sizes and three s … | a cell's output |
# | 540 | … tep 160, a hundredth after step 180. We send 540 boxes of three sizes and three shapes to tar … | a cell's output |
# | 4032 | … answers everywhere. For one photo it returns 4,032 boxes, and around each card many of them say … | a cell's output |
# | 0.45 | … what becomes of each at an IoU threshold of 0.45, class by class: … | an assertion in the lesson |
# | 7680 | … it moves every class to a place of its own, 7,680 pixels further for each class number. Boxes … | `yolo_edu/nms.py` |
# | 0.25 | … lease 7.0 ships with class-wise suppression, 0.25 for the confidence and 0.45 for the IoU; the … | a cell's output |
# | 0.05 | … <details> What there is to find</summary>At 0.05 the ace removes the king's box of 0.85, beca … | a cell's output |
# | 0.85 | … ry>At 0.05 the ace removes the king's box of 0.85, because the two overlap a little; a less su … | a cell's output |
# | 0.75 | … uplicate, a second box on a jack, appears at 0.75. On the newspaper the threshold hardly matte … | an assertion in the lesson |
# | 0.001 | … ilds. For it, boxes count down to a score of 0.001, and one box may be reported under several n … | a cell's output |
# | 0.01 | … 8 in a class, in one class of five, is worth 0.01. ### What NMS cannot do It sees boxes, not … | an assertion in the lesson |
# | 101 | … ecision (AP). COCO reads the envelope at the 101 recalls 0, 0.01, … 1 and takes the mean; a r … | a cell's output |
# | 0.50 | … lled just mAP, is the mean over the ten bars 0.50, 0.55 … 0.95 as well. Your function gives al … | a cell's output |
# | 0.55 | … ust mAP, is the mean over the ten bars 0.50, 0.55 … 0.95 as well. Your function gives all fift … | a cell's output |
# | 0.95 | … , is the mean over the ten bars 0.50, 0.55 … 0.95 as well. Your function gives all fifty numbe … | a cell's output |
# | 0.505 | … ll that was never reached: 0.75 instead of 0.505 for the five right boxes of ten objects abov … | a cell's output |
# | 0.90 | … the eight surest jacks, five miss the bar of 0.90. A score says how sure the network is of the … | a cell's output |
# | 134 | … e that overlaps it most. Predict, then run: 134 boxes are above 0.25, there are 92 objects, … | an assertion in the lesson |
#
# ## 10 [10_target_assignment](10_target_assignment.ipynb)
#
# | claim | checked by |
# |---|---|
# | the seven frames lead there and back | assertions in section 2; `tests/test_detect.py::test_decode_one_box_at_a_time` |
# | row and column swapped give another place, without an error | assertion in section 2 |
# | the overlap prefers an object that no raw number reaches | assertion in section 3 |
# | a ratio of 4 needs an infinite raw number | assertion in section 3 |
# | center and the two nearest neighbors are in reach, the far ones are not | assertion in section 4; `tests/test_assign.py::test_every_offset_can_be_decoded` |
# | neighbors make it three times as many entries | assertion in section 4 |
# | release 7.0: a center on a border gives its cell twice; cells are clamped | assertions in section 5; `tests/test_assign.py::test_a_border_center_tells_the_releases_apart` |
# | the fast rule equals the loops, entry by entry | exercise 10.3; assertion in section 7; `tests/test_assign.py::test_equals_the_loop` |
# | both releases' entries are those of the originals | `tests/test_assign.py::test_golden` |
# | the last entry decides objectness | assertions in section 8 |
# | objects that lose objectness; shares, levels, objects without an anchor | assertions in sections 8 and 9 |
# | figures and the microscope say what `assign` says | `tests/test_lesson_assignment.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 256 | … roblem Take a batch of 16 photos of cards at 256 × 256 pixels. The head answers on three grid … | an assertion in the lesson |
# | 64512 | … he labels hold 44 objects; the network gives 64,512 answers. To train, we must say for *every* s … | an assertion in the lesson |
# | 800 | … 44 objects have become more than 800 entries: one object is the task of many slot … | `tests/test_lesson_assignment.py` |
# | 10.1 | … e it, each with its own cells. ### Exercise 10.1 · The anchor test (8 minutes, ●●○○○) Do the … | a cell's output |
# | 1.31 | … stands one cell further left, so it must say 1.31 instead of 0.31. The formula 2σ − 0.5 spans … | a cell's output |
# | 0.31 | … further left, so it must say 1.31 instead of 0.31. The formula 2σ − 0.5 spans −0.5 to 1.5, bot … | a cell's output |
# | 0.69 | … reach. The right neighbor would have to say −0.69, which no raw number gives. So formula and r … | a cell's output |
# | 10.2 | … ### Exercise 10.2 · The chosen cells (10 minutes, ●●○○○) Frame … | a cell's output |
# | 92.5 | … corners are rounded here: its center is x = 92.5, its width 63. Three things to try: - press … | a cell's output |
# | 10.3 | … whole rule with your own hands ### Exercise 10.3 · Assignment with loops (20 minutes, ●●●●○) … | a cell's output |
# | 300 | … The check tries 300 random levels: up to four targets in up to t … | a cell's output |
# | 1.36 | … jack this cell is the left neighbor (offset 1.36), to the queen the right one (−0.45). In the … | a cell's output |
# | 0.45 | … (offset 1.36), to the queen the right one (−0.45). In the list, all left neighbors come befor … | a cell's output |
# | 640 | … t 256 pixels, less than one in a thousand at 640. All the others say "nothing here", which is … | an assertion in the lesson |
# | 342 | … and neighbors / none / By YOLOv3's rule the 342 cards would give 342 entries, not 6,276. ATS … | an assertion in the lesson |
# | 6276 | … le the 342 cards would give 342 entries, not 6,276. ATSS argues that the rule of assignment is t … | an assertion in the lesson |
#
# ## 11 [11_loss](11_loss.ipynb)
#
# | claim | checked by |
# |---|---|
# | the gains keep the weight of one class, and of one cell | assertions in section 1 |
# | parts do not depend on the batch size, the total does | assertion in section 1 |
# | the stable formula equals PyTorch's; its gradient is σ(x) − y | exercise 11.1; assertion in section 2 |
# | a doubled sigmoid stops at 0.69 and 0.31 | assertions in section 2 |
# | the first loss follows from the biases; which mistakes show | assertions in section 3; `tests/test_doctor.py::test_a_sound_set_up_passes` |
# | box, objectness and class term, each from scratch | assertions in sections 4, 5 and 6 |
# | the target is clamped, detached, and its last entry stands | exercise 11.2; `tests/test_loss.py::test_objectness_target_equals_a_loop`, `tests/test_loss.py::test_last_entry_of_a_cell_decides` |
# | without detaching, objectness ruins boxes | assertions in section 5 |
# | smoothing and positive weights move the optimum | assertions in section 6; `tests/test_loss.py::test_label_smoothing_moves_the_optimum` |
# | focal loss is the formula, and overstates soft targets | exercise 11.3; assertion in section 7; `tests/test_loss.py::test_binary_loss_equals_a_loop` |
# | the whole loss equals plain loops, and your functions' | assertions in sections 8 and 9 |
# | the module's loss and its gradients are the releases' | `tests/test_loss.py::test_golden`, `tests/test_loss.py::test_check_vector_of_the_reference` |
# | a perfect answer loses only where objects share a place | assertions in section 10 |
# | figures and widgets say what the modules say | `tests/test_lesson_losses.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 128 | … bject, the coarsest grid (P5) of an image of 128 pixels. Hatched: the cells that are asked. A … | `tests/test_lesson_losses.py` |
# | 0.693 | … is one half, and either answer costs ln 2 = 0.693. Written down like this, the formula breaks … | a cell's output |
# | 11.1 | … and logarithm belong together. ### Exercise 11.1 · Cross-entropy that cannot overflow (6 minu … | a cell's output |
# | 200 | … r all numbers. The check tries logits up to ±200 too, and the gradient at exactly 0, where ma … | `tests/test_doctor.py` |
# | 300 | … After 300 steps the order is right: the empty cell say … | a cell's code |
# | 0.69 | … s, and ranks. But its loss never falls below 0.69 where nothing is, and 0.31 where something i … | a cell's output |
# | 0.31 | … never falls below 0.69 where nothing is, and 0.31 where something is. A loss that stops at suc … | `tests/test_lesson_losses.py` |
# | 640 | … bjectness and class: - Objectness: q = 8 / (640 / stride)². (Lesson 07: the release expects … | an assertion in the lesson |
# | 0.99999 | … is about ln(1 + q). - Class: q = 0.6 / (K − 0.99999) in release 7.0. (0.99 in June 2020. Lesson … | a cell's code |
# | 0.99 | … ss: q = 0.6 / (K − 0.99999) in release 7.0. (0.99 in June 2020. Lesson 07: with 80 classes, al … | an assertion in the lesson |
# | 0.001 | … d CIoU, raw x gets hardly any either, about −0.001, because its sigmoid is saturated. Raw w get … | `tests/test_lesson_losses.py` |
# | 0.11 | … d. Raw w gets a hundred times as much (GIoU −0.11, CIoU −0.07). It is negative, so training ma … | `tests/test_lesson_losses.py` |
# | 0.07 | … s a hundred times as much (GIoU −0.11, CIoU −0.07). It is negative, so training makes the box … | a cell's output |
# | 0.94 | … h of 6 the box is far too large and the loss 0.94 with GIoU, 0.97 with CIoU (raw x back at −1. … | `tests/test_lesson_losses.py` |
# | 0.97 | … s far too large and the loss 0.94 with GIoU, 0.97 with CIoU (raw x back at −1.5), yet both gra … | `tests/test_doctor.py` |
# | 11.2 | … no gradient flows through it. ### Exercise 11.2 · The objectness target (10 minutes, ●●●○○) … | a cell's output |
# | 256 | … xactly so). With the gains of release 7.0 at 256 pixels the leak is the weaker one, and after … | a cell's output |
# | 0.95 | … Predict, then run: ε = 0.1, so the target is 0.95. What is the lowest cross-entropy? (At p = y … | a cell's output |
# | 0.30 | … 30 % of equal cases, the best prediction is 0.30. A weight moves it: … | `benchmarks/results/ablations.json` |
# | 0.25 | … − p_t; the power γ makes it vanish. - α_t = 0.25 · y + 0.75 · (1 − y): a fixed weight for yes … | `tests/test_lesson_losses.py` |
# | 0.75 | … power γ makes it vanish. - α_t = 0.25 · y + 0.75 · (1 − y): a fixed weight for yes and no. T … | `tests/test_lesson_losses.py` |
# | 11.3 | … es need less weight, not more. ### Exercise 11.3 · Focal loss (8 minutes, ●●○○○) Return the m … | a cell's output |
# | 24000 | … few and hard: with focal loss, a hundred of 24,000 do nearly all of it, and those it does not s … | `benchmarks/results/clinic.json` |
#
# ## 12 [12_data_and_freebies](12_data_and_freebies.ipynb)
#
# | claim | checked by |
# |---|---|
# | the linter finds eight of nine planted faults, and cannot find the ninth | assertion in section 1; `tests/test_lint.py::test_faults_of_a_row` |
# | letterbox numbers by hand equal the module's; boxes there and back | assertions in section 2; `tests/test_data.py::test_letterbox_of_boxes_there_and_back` |
# | your letterbox, flip and keeping rule are right | exercises 12.1, 12.2, 12.3, against a reference on random inputs |
# | a plan repeats a batch | assertion in section 3; `tests/test_augment.py::test_a_seed_repeats_the_batch_and_targets_are_legal` |
# | the mosaic and the warp built from scratch equal the module's | assertions in sections 4 and 5; `tests/test_warp.py::test_four_samples_meet_in_the_center` |
# | boxes move with their pixels | `tests/test_warp.py::test_boxes_move_with_their_pixels` |
# | MixUp and CutMix are what they say; the share is from Beta(32, 32) | assertions in section 6; `tests/test_plan.py::test_the_middle_of_63_uniform_numbers_is_beta_32_32` |
# | hue is multiplied: red stays, magenta moves | assertion in section 6; `tests/test_mix.py::test_colors_equal_the_standard_library_all_around_the_wheel` |
# | neighbors fill dropout's holes better than DropBlock's | assertion in section 7 |
# | which freebies section 9 shows, and in which measure | assertion in section 9 |
# | most thin boxes are slivers, not shrunken objects | assertion in section 10 |
# | YOLOv5's defaults | assertions in sections 5 and 8; `tests/test_plan.py::test_release_1_is_stricter` |
# | the table of section 9 is what the benchmark measured | `tests/test_lesson_augmentation.py::test_the_shipped_measurement_is_the_benchmark_s` |
# | figures and widget say what the module does | `tests/test_lesson_augmentation.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 114 | … to the middle, and fills the rest with gray (114 of 255). Three numbers say it all: *scale*, … | a cell's output |
# | 255 | … middle, and fills the rest with gray (114 of 255). Three numbers say it all: *scale*, *left*, … | a cell's output |
# | 42.5 | … rounds a half to the *even* neighbor: round(42.5) is 42, and round(43.5) is 44. So the odd pi … | an assertion in the lesson |
# | 43.5 | … even* neighbor: round(42.5) is 42, and round(43.5) is 44. So the odd pixel would be now above … | an assertion in the lesson |
# | 12.1 | … ### Exercise 12.1 · Letterbox numbers (8 minutes, ●●○○○) Write … | a cell's output |
# | 1080 | … photo. Predict, then run: a photo of 1920 × 1080 pixels was put into a square of 640. The net … | a cell's output |
# | 640 | … 1920 × 1080 pixels was put into a square of 640. The network finds a left edge at x = 320 of … | a cell's output |
# | 320 | … of 640. The network finds a left edge at x = 320 of the square. Where is it on the photo? … | a cell's output |
# | 217 | … ## 3 Chance first, pixels later 217 training photos are few. Augmentation shows … | an assertion in the lesson |
# | 0.53 | … ow: the first row of the matrix begins with −0.53, the second holds 0.53. So the first image i … | an assertion in the lesson |
# | 100 | … n: a box has x1 = 10 and x2 = 50 in an image 100 pixels wide. What is x1 in the mirrored imag … | a cell's output |
# | 12.2 | … ### Exercise 12.2 · Mirror the boxes (6 minutes, ●○○○○) Boxes … | a cell's output |
# | 444 | … elow 1. Counted on the aquarium photos, over 444 default images: … | an assertion in the lesson |
# | 12.3 | … is told that there is nothing. ### Exercise 12.3 · Which boxes stay (8 minutes, ●●○○○) befor … | a cell's output |
# | 0.25 | … w much the warp enlarges *areas* (scale 0.5: 0.25). Return True or False for each box. … | `tests/test_augment.py` |
# | 278 | … of her is left. From the eighth step on (x = 278) she is a label, and two kings have entered, … | a cell's output |
# | 360 | … r by hue (its place on the color wheel, 0 to 360 degrees), saturation (0: gray) and value (0: … | a cell's code |
# | 0.015 | … ach image gets three random factors: hue 1 ± 0.015, saturation 1 ± 0.7, value 1 ± 0.4 (release … | `tests/test_lint.py` |
# | 0.06 | … hich stays near one half (standard deviation 0.06), and keeps all boxes of both images as full … | an assertion in the lesson |
# | 2.94 | … th ε = 0.1 a raw 10 is punished: the best is 2.94. [Lesson 11 draws the curves. One consequen … | an assertion in the lesson |
# | 0.95 | … or users: the class probability asked for is 0.95 and not 1, so expect lower confidences. ## … | an assertion in the lesson |
# | 128 | … re without zoom. The zoom adds 2.7 points at 128 pixels. A larger training size helps most, a … | an assertion in the lesson |
#
# ## 13 [13_training_loop](13_training_loop.ipynb)
#
# | claim | checked by |
# |---|---|
# | SGD with Nesterov momentum, Adam and AdamW from their formulas equal PyTorch's | exercise 13.1; assertions in section 2 |
# | plain steps survive up to 2 / curvature | assertion in section 2 |
# | Nesterov runs away earlier than classical momentum in a valley | `tests/test_lesson_training.py::test_what_there_is_to_find_in_the_valley` |
# | the average follows its formula, the ramp included | exercise 13.2; assertion in section 3; `tests/test_optim.py::test_ema_decay_check_vectors` |
# | three groups, one decayed; decay follows the images of a step | exercise 13.3; assertions in section 4; `tests/test_optim.py::test_every_parameter_is_in_one_group` |
# | a convolution's size does not matter before BatchNorm | assertion in section 4 |
# | the schedule from scratch equals `rates` | assertion in section 5; `tests/test_recipe.py::test_warm_up` |
# | small gradients vanish in float16, and scaling keeps them | assertions in section 6 |
# | a swapped assignment is found by the round trip; consistently wrong labels by no check | assertions in section 7; `tests/test_doctor.py::test_a_fault_in_the_assignment_breaks_the_round_trip` |
# | a stopped run ends in the same bits | assertion in section 9; `tests/test_train.py::test_a_killed_run_ends_in_the_same_weights` |
# | seconds to an mAP50, killed runs | `tests/test_lesson_training.py::test_measured_numbers_in_the_prose` |
# | figures and widgets say what the modules say | `tests/test_lesson_training.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 0.01 | … slope is 1 at every step, the learning rate 0.01, the momentum 0.9. After many steps, how man … | an assertion in the lesson |
# | 13.1 | … ### Exercise 13.1 · One step of SGD (10 minutes, ●●○○○) Write … | a cell's output |
# | 1000 | … equence that surprises: multiply the loss by 1,000, and Adam's way stays the same. SGD's steps b … | a cell's output |
# | 0.05 | … (momentum 0) run away; Nesterov's arrives at 0.05 and runs away at 0.07. Looking ahead damps t … | a cell's output |
# | 0.07 | … Nesterov's arrives at 0.05 and runs away at 0.07. Looking ahead damps the swinging, but it ma … | `tests/test_lesson_training.py` |
# | 0.995 | … decay · (1 − exp(−updates / ramp)) With d = 0.995 the average reaches back about 1 / (1 − d) = … | a cell's code |
# | 200 | … the average reaches back about 1 / (1 − d) = 200 steps. The reference recipe has 0.9999: 10,0 … | an assertion in the lesson |
# | 10000 | … 200 steps. The reference recipe has 0.9999: 10,000 steps. The ramp lets d grow from 0: otherwis … | an assertion in the lesson |
# | 0.9999 | … Predict, then run: decay 0.9999, ramp 2,000. How many percent of the old ave … | a cell's output |
# | 100 | … ent of the old average survive update number 100? Round to whole percent. … | an assertion in the lesson |
# | 13.2 | … ### Exercise 13.2 · One update of the average (8 minutes, ●●○○ … | a cell's output |
# | 13.3 | … ght of a BatchNorm2d / no / ### Exercise 13.3 · Sort the parameters (10 minutes, ●●●○○) Re … | a cell's output |
# | 0.937 | … start at 0.1, and momentum goes from 0.8 to 0.937. … | a cell's output |
# | 217 | … for at least 100 iterations. The cards have 217 photos, a batch 16. In which epoch (the firs … | an assertion in the lesson |
# | 300 | … ence recipe is release 7.0's. It is made for 300 epochs of COCO. On 217 photos it makes few, … | a cell's code |
# | 256 | … ressive resizing*). Measured on the cards at 256 pixels (one thread of a CPU, three seeds eac … | a cell's output |
# | 118 | … 30 to 38 seconds, the reference recipe after 118 to 256. That says nothing about 300 epochs o … | `tests/test_lesson_training.py` |
# | 0.0002 | … In 16 bits the step is lost: 1 − 0.0002 is 1. Ten thousand such steps would change n … | a cell's output |
# | 0.999 | … stay float32. So does the *loss*: an IoU of 0.999 and one of 1 are the same bfloat16 number, a … | an assertion in the lesson |
# | 65536 | … remedy is loss scaling. Multiply the loss by 65,536, and every gradient is 65,536 times as large; … | a cell's output |
# | 192 | … v5 n, the recipe short cut to 24 epochs at 192 pixels. This is the longest cell of the less … | a cell's output |
# | 0.25 | … it is? Count the boxes above a confidence of 0.25 in the three photos that were watched. … | a cell's output |
# | 227 | … n 5 the reference recipe needed 256, 118 and 227 seconds to the same mAP50, with nothing chan … | `tests/test_lesson_training.py` |
# | 0.0001 | … Too low (0.0001): the curve falls evenly and slowly. Too hig … | an assertion in the lesson |
#
# ## 14 [14_bug_clinic](14_bug_clinic.ipynb)
#
# | claim | checked by |
# |---|---|
# | every patient differs from the twin in one part | assertion in section 1; `tests/test_clinic_parts.py::test_every_fault_differs_in_one_part` |
# | the faults do what they say | `tests/test_clinic_parts.py` |
# | each measurement speaks for its patient in every seed and never for the twin | assertions in section 3; `tests/test_clinic_records.py::test_each_sign_speaks_for_its_patient_and_not_for_the_twin` |
# | what is said about curves and boxes shows in every seed | assertion in section 5; `tests/test_clinic_records.py::test_every_claim_holds_over_the_seeds` |
# | a live training has the signature of the records | assertion in section 3 |
# | the doctor finds F and J, not B, D, G, I | assertions in section 3 |
# | the repaired parts equal the module's | exercises 14.1 to 14.4; assertions in section 4 |
# | the box costs most mAP50-95, the class most mAP50 | assertion in section 6; `tests/test_oracle_swap.py` |
# | verdicts of the ablations | `tests/test_ablations.py`; written by the cells |
# | figures and widget say what the records say | `tests/test_lesson_clinic.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 128 | … shipped card detector and a *fresh head*, on 128 photos of the cards at 128 pixels. That is t … | a cell's output |
# | 0.25 | … meaning of the numbers. Every score is above 0.25, the threshold of yolo-edu detect, so supp … | a cell's output |
# | 300 | … o suppression returns the most boxes it may, 300. The measurement: *all* probabilities lie bet … | a cell's output |
# | 0.50 | … measurement: *all* probabilities lie between 0.50 and 0.731. E, BatchNorm in training mode. E … | a cell's output |
# | 0.731 | … nt: *all* probabilities lie between 0.50 and 0.731. E, BatchNorm in training mode. Each layer … | an assertion in the lesson |
# | 14.1 | … ys which fault is still there. ### Exercise 14.1 · Patient F: which cell? (6 minutes, ●●○○○) … | a cell's output |
# | 14.2 | … ### Exercise 14.2 · Patient C: the decoder (10 minutes, ●●●○○) … | a cell's output |
# | 14.3 | … ### Exercise 14.3 · Patient B: read COCO's boxes (8 minutes, ● … | a cell's output |
# | 14.4 | … ### Exercise 14.4 · Patient E: ask without leaving traces (12 … | a cell's output |
# | 256 | … ng after it. Here is the shipped detector at 256 pixels on the 48 validation photos. … | a cell's code |
# | 0.95 | … 95 averages over IoU thresholds from 0.50 to 0.95. Which of the four costs it most: 1 class, 2 … | `yolo_edu/chart_style.py` |
#
# ## 15 [15_your_own_data](15_your_own_data.ipynb)
#
# | claim | checked by |
# |---|---|
# | the linter reports all planted kinds but one, and cannot see that | assertions in sections 2 and 4; `tests/test_lesson_own_data.py::test_every_planted_fault_is_reported_or_cannot_be` |
# | after the repairs every box is back | assertion in section 4 |
# | your conversion, groups and rows are right | exercises 15.1, 15.2, 15.3, against a reference on random inputs |
# | no group is torn apart by the split; the folder is clean | assertions in section 5; `tests/test_lesson_own_data.py::test_groups_are_connected_components` |
# | the default anchors reach at least 98 % of the boxes | assertion in section 6; `tests/test_anchors.py` |
# | a hostile file runs when read the old way, and is refused here | assertion in section 7; `tests/test_checkpoint.py` |
# | which rows of a head are taken over | exercise 15.3; assertions in section 7; `tests/test_transfer.py` |
# | the table of starts is what the benchmark measured | `tests/test_lesson_own_data.py::test_the_shipped_measurement_is_the_benchmark_s` |
# | every flag of the article's command is understood | the cell in section 9; `tests/test_lesson_own_data.py::test_the_article_s_flags` |
# | 7 test photos of 5 scenes leave a wide range | assertion in section 11 |
# | the ONNX file finds the same boxes | assertion in section 13; `tests/test_export.py` |
# | figures and widget say what the modules say | `tests/test_lesson_own_data.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 120 | … data: from a folder of photos to a detector 120 minutes · difficulty ●●○○○ · importance ●●●● … | `yolo_edu/album.py` |
# | 160 | … whose side is under 8 % are left out: at the 160 pixels that this lesson trains at it would b … | an assertion in the lesson |
# | 15.1 | … rs instead of center and size. ### Exercise 15.1 · Corners to a row (8 minutes, ●●○○○) Write … | a cell's output |
# | 2340 | … Next, files. The label file 2340 has no photo and photo 2339 has no labels. D … | a cell's output |
# | 2339 | … . The label file 2340 has no photo and photo 2339 has no labels. Did somebody rename one of th … | a cell's output |
# | 2338 | … th the row of file 2340, and on its neighbor 2338 for comparison. … | a cell's output |
# | 15.2 | … ### Exercise 15.2 · What belongs together (10 minutes, ●●●○○) … | a cell's output |
# | 640 | … ose at the training size: the same photos at 640 pixels ask for other anchors than at 160. … | a cell's output |
# | 0.98 | … ows it before its first step: below a BPR of 0.98 (release 7.0; the June 2020 release: 0.99) s … | an assertion in the lesson |
# | 0.99 | … of 0.98 (release 7.0; the June 2020 release: 0.99) search new ones, and take them only if they … | `yolo_edu/garden_shapes.py` |
# | 15.3 | … ### Exercise 15.3 · Which row is which (6 minutes, ●●○○○) Writ … | a cell's output |
# | 192 | … ores are low: five classes, small objects at 192 pixels, 15 epochs. They cannot be compared w … | a cell's output |
# | 300 | … y flag python3 train.py --batch 19 --epochs 300 --data ./data/train_5classes.yaml --cfg ./mo … | a cell's output |
# | 217 | … redict, then run: the article's data are the 217 cards. How many steps of the optimizer's loo … | a cell's output |
# | 0.001 | … e: which size is worth it? / / --conf-thres 0.001 / leave it low: mAP needs the whole curve, … | a cell's code |
# | 0.65 | … non-maximum suppression (June 2020 release: 0.65) / / --img-size, --batch-size / default: … | `yolo_edu/commands/test.py` |
# | 0.25 | … uth, right the detections at a confidence of 0.25. We look at *val*: errors that you have stud … | `tests/test_export.py` |
# | 416 | … ed fairly by *test*. The photos are drawn at 416 pixels, but the network gets them at 160; it … | a cell's code |
# | 255 | … R, as OpenCV reads), values 0 to 1 (not 0 to 255), letterboxed, and take the letterbox off th … | a cell's output |
# | 100 | … ml --weights WEIGHTS --img-size 640 --epochs 100 --name NAME / / choices / yolo-edu test -- … | a cell's output |
#
# ## 16 [16_train_on_gpu](16_train_on_gpu.ipynb)
#
# | claim | checked by |
# |---|---|
# | the forecast counts steps and evaluations as the run makes them | exercise 16.1; `tests/test_profiles.py::test_the_forecast_counts_what_the_run_does` |
# | an interrupted run goes on | `tests/test_profiles.py::test_an_interrupted_run_goes_on` |
# | the command for a GPU runs | `tests/test_profiles.py::test_the_command_of_the_gpu_run` |
# | the probe and its score are what they say | `tests/test_lesson_capstone.py::test_pair_share_counts_pairs`, `tests/test_lesson_capstone.py::test_the_probe_finds_a_linear_rule` |
# | training adds to random maps in rows 17, 20, 23 | assertion in section 6 |
# | the shipped weights grew from seed 0 | assertion in section 7 |
# | no dead channel; the finder finds a planted one | assertions in section 8 |
# | smallest \|γ\| against the lot | assertion in section 9; `tests/test_lesson_capstone.py::test_a_silenced_channel_says_nothing` |
# | the 120 epochs and 256 pixels of the shipped weights | `tests/test_lesson_capstone.py::test_numbers_in_the_prose` |
# | figures and dashboard say what the run says | `tests/test_lesson_capstone.py` |
#
# | number | in these words | produced by |
# |---|---|---|
# | 16.1 | … ### Exercise 16.1 · How long will it take? (10 minutes, ●●○○○) … | a cell's output |
# | 256 | … ome with the course. Those are a YOLOv5 n of 256 pixels after 120 epochs of the same recipe: … | a cell's output |
# | 120 | … se. Those are a YOLOv5 n of 256 pixels after 120 epochs of the same recipe: they show what mo … | a cell's output |
# | 100 | … guessing. Predict, then run: in how many of 100 pairs is the probe right on row 6 of the net … | a cell's output |
# | 16.2 | … each row: how far did it move? ### Exercise 16.2 · The change of a row (5 minutes, ●○○○○) Ret … | a cell's output |
# | 0.13 | … ny photo. The class probabilities begin near 0.13, and for most classes they rose a little. Do … | a cell's output |
# | 16.3 | … inition, the first a shortcut. ### Exercise 16.3 · Find the dead (10 minutes, ●●●○○) batches … | a cell's output |
# | 4752 | … Predict, then run: the shipped network has 4,752 channels behind a BatchNorm. How many of the … | a cell's output |
# | 16.4 | … done neither, so expect less. ### Exercise 16.4 · Slimming masks (10 minutes, ●●●○○) gammas … | a cell's output |
# | 0.94 | … then run: the whole network has an mAP50 of 0.94. What is left when a tenth of the channels i … | a cell's output |
# | 191 | … twork is the s of June 2020 with 80 classes: 191 rows. Here sigma of a bn.weight is no long … | `tests/test_lesson_capstone.py` |
