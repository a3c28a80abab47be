// Convolution: im2col and its adjoint around a matrix product, and depthwise convolution without one.
#include "common.cuh"

// columns[n * image_stride + r * row_stride + l] = the pixel of window l of image n at r = (c, i, j), 0 in the padding.
extern "C" __global__ void im2col(
    INDEX count, const REAL* x, REAL* columns, int channels, int height, int width, int out_h, int out_w,
    INDEX image_stride, INDEX row_stride, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w;
    const int taps = kernel_h * kernel_w;
    FOR_EACH(index, count) {  // (N, C * kH * kW, oH * oW)
        const INDEX l = index % windows;
        const int r = index / windows % (channels * taps);
        const INDEX n = index / windows / (channels * taps);
        const int c = r / taps, tap = r % taps;
        const int row = l / out_w * stride_h - pad_h + tap / kernel_w * dilation_h;
        const int column = l % out_w * stride_w - pad_w + tap % kernel_w * dilation_w;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        const INDEX pixel = ((n * channels + c) * height + row) * width + column;
        columns[n * image_stride + r * row_stride + l] = inside ? x[pixel] : (REAL)0;
    }
}

// The window that reads a pixel by a tap, or -1: the pixel's distance from the tap in whole strides.
static __device__ int window_at(int position, int pad, int tap, int dilation, int stride, int windows) {
    const int distance = position + pad - tap * dilation;
    return distance >= 0 && distance % stride == 0 && distance / stride < windows ? distance / stride : -1;
}

// The adjoint of im2col, for columns (N, C * kH * kW, oH * oW): each pixel sums over the windows that contain it.
extern "C" __global__ void col2im(
    INDEX count, const REAL* columns, REAL* x, int channels, int height, int width, int out_h, int out_w, WINDOW) {
    FOR_EACH(index, count) {  // (N, C, H, W)
        const int column = index % width, row = index / width % height;
        const INDEX plane = index / width / height;  // n * C + c
        REAL total = 0;
        for (int i = 0; i < kernel_h; i++) {
            const int p = window_at(row, pad_h, i, dilation_h, stride_h, out_h);
            if (p < 0) continue;
            for (int j = 0; j < kernel_w; j++) {
                const int q = window_at(column, pad_w, j, dilation_w, stride_w, out_w);
                if (q < 0) continue;
                total += columns[(((plane * kernel_h + i) * kernel_w + j) * out_h + p) * out_w + q];
            }
        }
        x[index] = total;
    }
}

// Depthwise convolution: every channel has its own `multiplier` filters (kH, kW), which read no other channel.
extern "C" __global__ void depthwise(
    INDEX count, const REAL* x, const REAL* weight, REAL* y, int channels, int multiplier, int height, int width,
    int out_h, int out_w, WINDOW) {
    FOR_EACH(index, count) {  // (N, C * multiplier, oH, oW)
        const int q = index % out_w, p = index / out_w % out_h;
        const int k = index / out_w / out_h % (channels * multiplier);
        const INDEX n = index / out_w / out_h / (channels * multiplier);
        const INDEX plane = n * channels + k / multiplier;
        REAL total = 0;
        for (int i = 0; i < kernel_h; i++) {
            const int row = p * stride_h - pad_h + i * dilation_h;
            if (row < 0 || row >= height) continue;
            for (int j = 0; j < kernel_w; j++) {
                const int column = q * stride_w - pad_w + j * dilation_w;
                if (column < 0 || column >= width) continue;
                total += weight[((INDEX)k * kernel_h + i) * kernel_w + j] * x[(plane * height + row) * width + column];
            }
        }
        y[index] = total;
    }
}

extern "C" __global__ void depthwise_input_grad(
    INDEX count, const REAL* dy, const REAL* weight, REAL* dx, int channels, int multiplier, int height, int width,
    int out_h, int out_w, WINDOW) {
    FOR_EACH(index, count) {  // (N, C, H, W)
        const int column = index % width, row = index / width % height;
        const INDEX plane = index / width / height;
        const int c = plane % channels;
        REAL total = 0;
        for (int i = 0; i < kernel_h; i++) {
            const int p = window_at(row, pad_h, i, dilation_h, stride_h, out_h);
            if (p < 0) continue;
            for (int j = 0; j < kernel_w; j++) {
                const int q = window_at(column, pad_w, j, dilation_w, stride_w, out_w);
                if (q < 0) continue;
                for (int m = 0; m < multiplier; m++) {
                    const REAL tap = weight[(((INDEX)c * multiplier + m) * kernel_h + i) * kernel_w + j];
                    total += tap * dy[((plane * multiplier + m) * out_h + p) * out_w + q];
                }
            }
        }
        dx[index] = total;
    }
}

// One block per number of the weight (C * multiplier, kH, kW): it sums over images and windows.
extern "C" __global__ void depthwise_weight_grad(
    INDEX count, const REAL* dy, const REAL* x, REAL* d_weight, int images, int channels, int multiplier, int height,
    int width, int out_h, int out_w, WINDOW) {
    __shared__ REAL partial[BLOCK];
    const INDEX windows = (INDEX)images * out_h * out_w;
    for (INDEX index = blockIdx.x; index < count; index += gridDim.x) {
        const int j = index % kernel_w, i = index / kernel_w % kernel_h;
        const int k = index / kernel_w / kernel_h;
        REAL total = 0;
        for (INDEX window = threadIdx.x; window < windows; window += blockDim.x) {
            const int q = window % out_w, p = window / out_w % out_h;
            const INDEX n = window / out_w / out_h;
            const int row = p * stride_h - pad_h + i * dilation_h, column = q * stride_w - pad_w + j * dilation_w;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            total += dy[((n * channels * multiplier + k) * out_h + p) * out_w + q]
                     * x[((n * channels + k / multiplier) * height + row) * width + column];
        }
        total = block_sum(total, partial);
        if (threadIdx.x == 0) d_weight[index] = total;
    }
}
