"""What builders of TensorRT said about DLA, from published logs; dates are left as they were."""

# TensorRT 8.4 on Orin, a network with group normalization.
# Source: https://github.com/NVIDIA-AI-IOT/jetson_dla_tutorial (README.md, "model_gn.log")
GROUP_NORM = """\
[03/31/2022-14:34:54] [I] [TRT] ---------- Layers Running on DLA ----------
[03/31/2022-14:34:54] [I] [TRT] [DlaLayer] {ForeignNode[Conv_0]}
[03/31/2022-14:34:54] [I] [TRT] [DlaLayer] {ForeignNode[Relu_10...Conv_11]}
[03/31/2022-14:34:54] [I] [TRT] [DlaLayer] {ForeignNode[Relu_21...Conv_22]}
[03/31/2022-14:34:54] [I] [TRT] [DlaLayer] {ForeignNode[Relu_32...Conv_33]}
[03/31/2022-14:34:54] [I] [TRT] [DlaLayer] {ForeignNode[Relu_43]}
[03/31/2022-14:34:54] [I] [TRT] ---------- Layers Running on GPU ----------
[03/31/2022-14:34:54] [I] [TRT] [GpuLayer] SHUFFLE: Reshape_2 + (Unnamed Layer* 7) [Shuffle]
[03/31/2022-14:34:54] [I] [TRT] [GpuLayer] PLUGIN_V2: InstanceNormalization_5
[03/31/2022-14:34:54] [I] [TRT] [GpuLayer] SHUFFLE: (Unnamed Layer* 12) [Shuffle] + Reshape_7
[03/31/2022-14:34:54] [I] [TRT] [GpuLayer] SCALE: 71 + (Unnamed Layer* 16) [Shuffle] + Mul_8
[03/31/2022-14:34:54] [I] [TRT] [GpuLayer] SCALE: 72 + (Unnamed Layer* 19) [Shuffle] + Add_9
[03/31/2022-14:34:54] [I] [TRT] [GpuLayer] SHUFFLE: Reshape_13 + (Unnamed Layer* 29) [Shuffle]
"""

# The same tutorial's network with batch normalization, TensorRT 8.5, as a reader published it.
BATCH_NORM = """\
[08/31/2023-07:07:49] [I] [TRT] ---------- Layers Running on DLA ----------
[08/31/2023-07:07:49] [I] [TRT] [DlaLayer] {ForeignNode[/cnn/cnn.0/Conv.../cnn/cnn.11/Relu]}
[08/31/2023-07:07:49] [I] [TRT] [DlaLayer] {ForeignNode[/linear/Gemm]}
[08/31/2023-07:07:49] [I] [TRT] ---------- Layers Running on GPU ----------
[08/31/2023-07:07:49] [I] [TRT] [GpuLayer] POOLING: /pool/GlobalAveragePool
[08/31/2023-07:07:49] [I] [TRT] [GpuLayer] SHUFFLE: reshape_after_/linear/Gemm
"""

# Xavier, TensorRT 8.2: https://forums.developer.nvidia.com/t/219158
RESIZE = """\
[W] [TRT] Resize__916: For bilinear resize, DLA only supports kHALF_PIXEL coordinate transformation
[W] [TRT] Default DLA is enabled but layer Resize__916 is not supported on DLA, falling back to GPU.
[I] [TRT] ---------- Layers Running on DLA ----------
[I] [TRT] [DlaLayer] {ForeignNode[resnet_v1_50/block4/unit_3/bottleneck_v1/Relu]}
[I] [TRT] ---------- Layers Running on GPU ----------
[I] [TRT] [GpuLayer] RESIZE: Resize__916
"""

# AGX Orin: https://github.com/ultralytics/ultralytics/issues/18012 (two of many such lines)
MOVED = """\
[12/04/2024-11:57:45] [TRT] [W] /model.23/Concat_4: DLA only supports concatenation on the C \
dimension.
[12/04/2024-11:57:45] [TRT] [W] Layer '/model.23/Concat_4' (CONCATENATION): Unsupported on DLA. \
Switching this layer's device type to GPU.
[12/04/2024-11:57:45] [TRT] [W] Layer '(Unnamed Layer* 388) [Shuffle]' (SHUFFLE): Unsupported on \
DLA. Switching this layer's device type to GPU.
[12/04/2024-11:57:45] [TRT] [W] Validation failed for DLA layer: /model.10/m/m.0/attn/Reshape. \
Switching to GPU fallback.
[12/04/2024-11:57:45] [TRT] [W] Splitting DLA subgraph at: /model.10/m/m.0/attn/Reshape because \
DLA validation failed for this layer.
"""

# https://github.com/marcoslucianops/DeepStream-Yolo/issues/27 (two of many such lines)
TOO_MANY = """\
WARNING: [TRT]: DLA supports only 8 subgraphs per DLA core. Switching to GPU for layer conv_6
WARNING: [TRT]: DLA supports only 8 subgraphs per DLA core. Switching to GPU for layer conv_8
"""

# The sample of cuDLA in NVIDIA/TensorRT (samples/sampleCudla/README.md)
SAMPLE = """\
[I] [TRT] --------------- Layers running on DLA:
[I] [TRT] [DlaLayer] {ForeignNode[(Unnamed Layer* 0) [ElementWise]]},
[I] [TRT] --------------- Layers running on GPU:
"""

# A build on the GPU, nothing on DLA; after a published log of 2022, its names shortened.
ON_GPU = """\
[12/30/2022-14:03:16] [TRT] [I] ---------- Layers Running on DLA ----------
[12/30/2022-14:03:16] [TRT] [I] ---------- Layers Running on GPU ----------
[12/30/2022-14:03:16] [TRT] [I] [GpuLayer] COPY: Reformatting CopyNode for Network Input input_0
[12/30/2022-14:03:16] [TRT] [I] [GpuLayer] CONVOLUTION: backbone.stem.conv + backbone.stem.bn
[12/30/2022-14:03:16] [TRT] [I] [GpuLayer] POINTWISE: PWN(PWN(act.0), act.1)
"""
