// Pooling, forward and backward. Windows may reach over the lower and right edges (ceil_mode). A group of threads takes a
// plane (n, c) of what is written.
#include "common.cuh"

// The first position of a window that lies inside the image.
static __device__ int first_inside(int start, int dilation) {
    while (start < 0) start += dilation;
    return start;
}

// Of equal pixels the first in reading order is taken; NaN counts as larger than everything; padding is never taken.
extern "C" __global__ void max_pool2d(
    INDEX count, const STORE* x, STORE* y, long long* indices, int height, int width, int out_h, int out_w,
    int lanes, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w;
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        const STORE* image = x + plane * height * width;
        for (Walk at(lanes, out_w); at.cell < windows; at.step()) {
            const int top = at.row * stride_h - pad_h, left = at.column * stride_w - pad_w;
            const int first_row = first_inside(top, dilation_h), first_column = first_inside(left, dilation_w);
            const int end_row = min(height, top + (kernel_h - 1) * dilation_h + 1);
            const int end_column = min(width, left + (kernel_w - 1) * dilation_w + 1);
            INDEX winner = (INDEX)first_row * width + first_column;
            // A dilated window can step over a small image and contain none of its pixels.
            REAL best = first_row < height && first_column < width ? (REAL)image[winner] : log((REAL)0);
            for (int row = first_row; row < end_row; row += dilation_h) {
                for (int column = first_column; column < end_column; column += dilation_w) {
                    const INDEX place = (INDEX)row * width + column;
                    const REAL pixel = image[place];
                    if (pixel > best || pixel != pixel) {
                        best = pixel;
                        winner = place;
                    }
                }
            }
            y[plane * windows + at.cell] = best;
            indices[plane * windows + at.cell] = winner;
        }
    }
}

// The windows first to last (included) whose extent along one side covers a position. Of those of a dilated kernel some
// may step over it: `hits` tells.
struct Windows {
    int first, last, above;  // above: from the first pixel of window 0 to the position

    __device__ Windows(int position, int kernel, int stride, int pad, int dilation, int windows) {
        above = position + pad;
        const int below = above - (kernel - 1) * dilation;
        first = below > 0 ? over(below + stride - 1, stride) : 0;
        last = min(windows - 1, over(above, stride));
    }

    // a / stride; the usual strides take no division.
    static __device__ int over(int a, int stride) {
        return stride == 1 ? a : stride == 2 ? (int)((unsigned)a / 2) : a / stride;
    }

    __device__ bool hits(int window, int stride, int dilation) const {
        return dilation == 1 || (above - window * stride) % dilation == 0;
    }
};

// Each pixel sums over the windows that contain it and whose maximum it was, in the order of the windows.
extern "C" __global__ void max_pool2d_grad(
    INDEX count, const STORE* dy, const long long* indices, STORE* dx, int height, int width, int out_h, int out_w,
    int lanes, WINDOW) {
    const INDEX pixels = (INDEX)height * width;
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        const INDEX first = plane * out_h * out_w;
        for (Walk at(lanes, width); at.cell < pixels; at.step()) {
            const Windows down(at.row, kernel_h, stride_h, pad_h, dilation_h, out_h);
            const Windows across(at.column, kernel_w, stride_w, pad_w, dilation_w, out_w);
            REAL total = 0;
            for (int p = down.first; p <= down.last; p++) {
                if (!down.hits(p, stride_h, dilation_h)) continue;
#pragma unroll 1
                for (int q = across.first; q <= across.last; q++) {
                    const INDEX window = first + (INDEX)p * out_w + q;
                    if (indices[window] == at.cell && across.hits(q, stride_w, dilation_w)) total += (REAL)dy[window];
                }
            }
            dx[plane * pixels + at.cell] = total;
        }
    }
}

extern "C" __global__ void avg_pool2d(
    INDEX count, const STORE* x, const REAL* divisor, STORE* y, int height, int width, int out_h, int out_w,
    int lanes, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w;
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        const STORE* image = x + plane * height * width;
        for (Walk at(lanes, out_w); at.cell < windows; at.step()) {
            const int top = at.row * stride_h - pad_h, left = at.column * stride_w - pad_w;
            const int end_row = min(height, top + (kernel_h - 1) * dilation_h + 1);
            const int end_column = min(width, left + (kernel_w - 1) * dilation_w + 1);
            REAL total = 0;
            for (int row = first_inside(top, dilation_h); row < end_row; row += dilation_h)
                for (int column = first_inside(left, dilation_w); column < end_column; column += dilation_w)
                    total += (REAL)image[(INDEX)row * width + column];
            y[plane * windows + at.cell] = total / divisor[at.cell];
        }
    }
}

// Each pixel sums over the windows that contain it.
extern "C" __global__ void avg_pool2d_grad(
    INDEX count, const STORE* dy, const REAL* divisor, STORE* dx, int height, int width, int out_h, int out_w,
    int lanes, WINDOW) {
    const INDEX pixels = (INDEX)height * width;
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        const STORE* cotangents = dy + plane * out_h * out_w;
        for (Walk at(lanes, width); at.cell < pixels; at.step()) {
            const Windows down(at.row, kernel_h, stride_h, pad_h, dilation_h, out_h);
            const Windows across(at.column, kernel_w, stride_w, pad_w, dilation_w, out_w);
            REAL total = 0;
            for (int p = down.first; p <= down.last; p++) {
                if (!down.hits(p, stride_h, dilation_h)) continue;
#pragma unroll 1
                for (int q = across.first; q <= across.last; q++) {
                    const INDEX window = (INDEX)p * out_w + q;
                    if (across.hits(q, stride_w, dilation_w)) total += (REAL)cotangents[window] / divisor[window];
                }
            }
            dx[plane * pixels + at.cell] = total;
        }
    }
}

// Cell i of `cells` along a length spans cell_start(i) to cell_end(i), the end left out. One cell, or cells in a length
// of one, the case of global pooling there and back, take no division.
static __device__ int cell_start(int i, int length, int cells) {
    return length == 1 || cells == 1 ? 0 : (long long)i * length / cells;
}
static __device__ int cell_end(int i, int length, int cells) {
    return length == 1 || cells == 1 ? length : ((long long)(i + 1) * length + cells - 1) / cells;
}

// One thread per cell, for small cells.
extern "C" __global__ void adaptive_avg_pool2d(
    INDEX count, const STORE* x, STORE* y, int height, int width, int out_h, int out_w) {
    FOR_EACH(index, count) {  // (N, C, oH, oW)
        const int q = index % out_w, p = index / out_w % out_h;
        const STORE* plane = x + index / out_w / out_h * height * width;
        const int top = cell_start(p, height, out_h), bottom = cell_end(p, height, out_h);
        const int left = cell_start(q, width, out_w), right = cell_end(q, width, out_w);
        REAL total = 0;
        for (int row = top; row < bottom; row++)
            for (int column = left; column < right; column++) total += (REAL)plane[(INDEX)row * width + column];
        y[index] = total / ((INDEX)(bottom - top) * (right - left));
    }
}

// One block per cell, for large ones.
extern "C" __global__ void adaptive_avg_pool2d_large(
    INDEX count, const STORE* x, STORE* y, int height, int width, int out_h, int out_w) {
    __shared__ REAL partial[BLOCK];
    for (INDEX cell = blockIdx.x; cell < count; cell += gridDim.x) {  // (N, C, oH, oW)
        const int q = cell % out_w, p = cell / out_w % out_h;
        const int top = cell_start(p, height, out_h), rows = cell_end(p, height, out_h) - top;
        const int left = cell_start(q, width, out_w), columns = cell_end(q, width, out_w) - left;
        const STORE* corner = x + (cell / out_w / out_h * height + top) * width + left;
        REAL total = 0;
        for (INDEX i = threadIdx.x; i < (INDEX)rows * columns; i += blockDim.x)
            total += (REAL)corner[i / columns * width + i % columns];
        total = block_sum(total, partial);
        if (threadIdx.x == 0) y[cell] = total / ((INDEX)rows * columns);
    }
}

// A position h lies in the cells floor(h * cells / length) to ceil((h + 1) * cells / length) - 1: cell_start and
// cell_end with the two lengths exchanged.
extern "C" __global__ void adaptive_avg_pool2d_grad(
    INDEX count, const STORE* dy, STORE* dx, int height, int width, int out_h, int out_w, int lanes) {
    const INDEX pixels = (INDEX)height * width;
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        const STORE* cotangents = dy + plane * out_h * out_w;
        for (Walk at(lanes, width); at.cell < pixels; at.step()) {
            const int end_p = cell_end(at.row, out_h, height), end_q = cell_end(at.column, out_w, width);
            REAL total = 0;
            for (int p = cell_start(at.row, out_h, height); p < end_p; p++) {
                const int rows = cell_end(p, height, out_h) - cell_start(p, height, out_h);
                for (int q = cell_start(at.column, out_w, width); q < end_q; q++) {
                    const int columns = cell_end(q, width, out_w) - cell_start(q, width, out_w);
                    total += (REAL)cotangents[(INDEX)p * out_w + q] / ((INDEX)rows * columns);
                }
            }
            dx[plane * pixels + at.cell] = total;
        }
    }
}
