// Convolution: im2col and its adjoint around a matrix product, and depthwise convolution without one. Loops over the
// columns of a kernel are unrolled by three, the usual number.
#include "common.cuh"

static __device__ bool within(int position, int size) { return (unsigned)position < (unsigned)size; }

// columns[n * image_stride + r * row_stride + l] = the pixel of window l of image n at r = (c, i, j), 0 in the padding.
extern "C" __global__ void im2col(
    INDEX count, const STORE* x, STORE* columns, int channels, int height, int width, int out_h, int out_w,
    INDEX image_stride, INDEX row_stride, int lanes, WINDOW) {
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(job, count, lanes) {  // (N, C, kH): kW rows of columns each
        const INDEX plane = job / kernel_h, n = plane / channels;
        const int top = (int)(job - plane * kernel_h) * dilation_h - pad_h;
        const STORE* image = x + plane * height * width;
        STORE* target = columns + n * image_stride + (job - n * channels * kernel_h) * kernel_w * row_stride;
        for (int j = 0; j < kernel_w; j++, target += row_stride) {
            const int left = j * dilation_w - pad_w;
            for (Walk at(lanes, out_w); at.row < out_h; at.step()) {
                const int row = at.row * stride_h + top, column = at.column * stride_w + left;
                const bool inside = within(row, height) && within(column, width);
                target[at.cell] = inside ? image[(INDEX)row * width + column] : (STORE)0.0f;
            }
        }
    }
}

// The window that reads a pixel by a tap, or -1, from the pixel's distance to the tap: whole strides, or there is none.
template <int STRIDE>
static __device__ int window_at(int distance, int any_stride, int windows) {
    const unsigned stride = STRIDE ? STRIDE : any_stride;
    const int window = (unsigned)distance / stride;
    return within(window, windows) && (unsigned)distance % stride == 0 ? window : -1;
}

// A kernel that divides by strides, with the usual ones compiled in.
#define BY_STRIDE(function, ...)                                                                                       \
    if (stride_h == 1 && stride_w == 1)                                                                                \
        function<1>(__VA_ARGS__);                                                                                      \
    else if (stride_h == 2 && stride_w == 2)                                                                           \
        function<2>(__VA_ARGS__);                                                                                      \
    else                                                                                                               \
        function<0>(__VA_ARGS__);

template <int STRIDE>
static __device__ void gather_columns(
    INDEX count, const STORE* columns, STORE* x, int height, int width, int out_h, int out_w, int lanes, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w;
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        for (Walk at(lanes, width); at.row < height; at.step()) {
            const STORE* taps = columns + plane * kernel_h * kernel_w * windows;
            REAL total = 0;
            for (int i = 0; i < kernel_h; i++, taps += kernel_w * windows) {
                const int p = window_at<STRIDE>(at.row + pad_h - i * dilation_h, stride_h, out_h);
                if (p < 0) continue;
                const STORE* row = taps + (INDEX)p * out_w;
#pragma unroll 3
                for (int j = 0; j < kernel_w; j++, row += windows) {
                    const int q = window_at<STRIDE>(at.column + pad_w - j * dilation_w, stride_w, out_w);
                    if (q >= 0) total += (REAL)row[q];
                }
            }
            x[plane * height * width + at.cell] = total;
        }
    }
}

// The adjoint of im2col, for columns (N, C * kH * kW, oH * oW): each pixel sums over the windows that contain it.
extern "C" __global__ void col2im(
    INDEX count, const STORE* columns, STORE* x, int height, int width, int out_h, int out_w, int lanes, WINDOW) {
    BY_STRIDE(gather_columns, count, columns, x, height, width, out_h, out_w, lanes, PASS_WINDOW)  // (N, C)
}

// Depthwise convolution: every channel has its own `multiplier` filters (kH, kW), which read no other channel.
extern "C" __global__ void depthwise(
    INDEX count, const STORE* x, const STORE* weight, STORE* y, int channels, int multiplier, int height, int width,
    int out_h, int out_w, int lanes, WINDOW) {
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {  // (N, C * multiplier)
        const STORE* image = x + plane / multiplier * height * width;
        const STORE* filter = weight + plane % (channels * multiplier) * kernel_h * kernel_w;
        for (Walk at(lanes, out_w); at.row < out_h; at.step()) {
            const int top = at.row * stride_h - pad_h, left = at.column * stride_w - pad_w;
            REAL total = 0;
            for (int i = 0; i < kernel_h; i++) {
                const int row = top + i * dilation_h;
                if (!within(row, height)) continue;
#pragma unroll 3
                for (int j = 0; j < kernel_w; j++) {
                    const int column = left + j * dilation_w;
                    if (!within(column, width)) continue;
                    total += (REAL)filter[i * kernel_w + j] * (REAL)image[(INDEX)row * width + column];
                }
            }
            y[plane * out_h * out_w + at.cell] = total;
        }
    }
}

template <int STRIDE>
static __device__ void gather_depthwise(
    INDEX count, const STORE* dy, const STORE* weight, STORE* dx, int channels, int multiplier, int height, int width,
    int out_h, int out_w, int lanes, WINDOW) {
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        for (Walk at(lanes, width); at.row < height; at.step()) {
            const STORE* filter = weight + plane % channels * multiplier * kernel_h * kernel_w;
            const STORE* windows = dy + plane * multiplier * out_h * out_w;
            REAL total = 0;
            for (int m = 0; m < multiplier; m++, windows += (INDEX)out_h * out_w) {
                for (int i = 0; i < kernel_h; i++, filter += kernel_w) {
                    const int p = window_at<STRIDE>(at.row + pad_h - i * dilation_h, stride_h, out_h);
                    if (p < 0) continue;
#pragma unroll 3
                    for (int j = 0; j < kernel_w; j++) {
                        const int q = window_at<STRIDE>(at.column + pad_w - j * dilation_w, stride_w, out_w);
                        if (q >= 0) total += (REAL)filter[j] * (REAL)windows[(INDEX)p * out_w + q];
                    }
                }
            }
            dx[plane * height * width + at.cell] = total;
        }
    }
}

extern "C" __global__ void depthwise_input_grad(
    INDEX count, const STORE* dy, const STORE* weight, STORE* dx, int channels, int multiplier, int height, int width,
    int out_h, int out_w, int lanes, WINDOW) {
    BY_STRIDE(
        gather_depthwise, count, dy, weight, dx, channels, multiplier, height, width, out_h, out_w, lanes,
        PASS_WINDOW)  // (N, C)
}

// One block per number of the weight (C * multiplier, kH, kW): each of its groups sums over the windows of some images.
extern "C" __global__ void depthwise_weight_grad(
    INDEX count, const STORE* dy, const STORE* x, STORE* d_weight, int images, int channels, int multiplier, int height,
    int width, int out_h, int out_w, int lanes, WINDOW) {
    __shared__ REAL partial[BLOCK];
    lanes = min(lanes, (int)blockDim.x);
    const int groups = blockDim.x / lanes;
    for (INDEX index = blockIdx.x; index < count; index += gridDim.x) {
        const int k = index / (kernel_h * kernel_w), tap = index - (INDEX)k * kernel_h * kernel_w, i = tap / kernel_w;
        const int top = i * dilation_h - pad_h, left = (tap - i * kernel_w) * dilation_w - pad_w;
        REAL total = 0;
        for (INDEX n = threadIdx.x / lanes; n < images; n += groups) {
            const STORE* cotangents = dy + (n * channels * multiplier + k) * out_h * out_w;
            const STORE* image = x + (n * channels + k / multiplier) * height * width;
            for (Walk at(lanes, out_w); at.row < out_h; at.step()) {
                const int row = at.row * stride_h + top, column = at.column * stride_w + left;
                if (within(row, height) && within(column, width))
                    total += (REAL)cotangents[at.cell] * (REAL)image[(INDEX)row * width + column];
            }
        }
        total = block_sum(total, partial);
        if (threadIdx.x == 0) d_weight[index] = total;
    }
}
