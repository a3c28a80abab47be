// Pooling, forward and backward. Windows may reach over the lower and right edges (ceil_mode).
#include "common.cuh"

// The first position of a window that lies inside the image.
static __device__ int first_inside(int start, int dilation) {
    return start >= 0 ? start : start + (-start + dilation - 1) / dilation * dilation;
}

// Of equal pixels the first in reading order is taken; NaN counts as larger than everything; padding is never taken.
extern "C" __global__ void max_pool2d(
    INDEX count, const REAL* x, REAL* y, long long* indices, int height, int width, int out_h, int out_w, WINDOW) {
    FOR_EACH(index, count) {  // (N, C, oH, oW)
        const int top = index / out_w % out_h * stride_h - pad_h, left = index % out_w * stride_w - pad_w;
        const REAL* plane = x + index / out_w / out_h * height * width;
        const int first_row = first_inside(top, dilation_h), first_column = first_inside(left, dilation_w);
        const int end_row = min(height, top + (kernel_h - 1) * dilation_h + 1);
        const int end_column = min(width, left + (kernel_w - 1) * dilation_w + 1);
        INDEX winner = (INDEX)first_row * width + first_column;
        // A dilated window can step over a small image and contain none of its pixels.
        REAL best = first_row < height && first_column < width ? plane[winner] : log((REAL)0);
        for (int row = first_row; row < end_row; row += dilation_h) {
            for (int column = first_column; column < end_column; column += dilation_w) {
                const REAL pixel = plane[(INDEX)row * width + column];
                if (pixel > best || pixel != pixel) {
                    best = pixel;
                    winner = (INDEX)row * width + column;
                }
            }
        }
        y[index] = best;
        indices[index] = winner;
    }
}

// dx starts at zero; a pixel that is the maximum of several windows gets their sum.
extern "C" __global__ void max_pool2d_grad(
    INDEX count, const REAL* dy, const long long* indices, REAL* dx, INDEX pixels, INDEX windows) {
    FOR_EACH(index, count) {  // (N, C, oH, oW)
        if (indices[index] < pixels) atomicAdd(dx + index / windows * pixels + (INDEX)indices[index], dy[index]);
    }
}

extern "C" __global__ void avg_pool2d(
    INDEX count, const REAL* x, const REAL* divisor, REAL* y, int height, int width, int out_h, int out_w, WINDOW) {
    FOR_EACH(index, count) {  // (N, C, oH, oW)
        const int q = index % out_w, p = index / out_w % out_h;
        const REAL* plane = x + index / out_w / out_h * height * width;
        REAL total = 0;
        for (int i = 0; i < kernel_h; i++) {
            const int row = p * stride_h - pad_h + i * dilation_h;
            if (row < 0 || row >= height) continue;
            for (int j = 0; j < kernel_w; j++) {
                const int column = q * stride_w - pad_w + j * dilation_w;
                if (column >= 0 && column < width) total += plane[(INDEX)row * width + column];
            }
        }
        y[index] = total / divisor[(INDEX)p * out_w + q];
    }
}

// Each pixel sums over the windows that contain it.
extern "C" __global__ void avg_pool2d_grad(
    INDEX count, const REAL* dy, const REAL* divisor, REAL* dx, int height, int width, int out_h, int out_w, WINDOW) {
    FOR_EACH(index, count) {  // (N, C, H, W)
        const int column = index % width, row = index / width % height;
        const REAL* plane = dy + index / width / height * out_h * out_w;
        REAL total = 0;
        for (int i = 0; i < kernel_h; i++) {
            const int down = row + pad_h - i * dilation_h;
            if (down < 0 || down % stride_h != 0 || down / stride_h >= out_h) continue;
            for (int j = 0; j < kernel_w; j++) {
                const int across = column + pad_w - j * dilation_w;
                if (across < 0 || across % stride_w != 0 || across / stride_w >= out_w) continue;
                const INDEX window = (INDEX)(down / stride_h) * out_w + across / stride_w;
                total += plane[window] / divisor[window];
            }
        }
        dx[index] = total;
    }
}

// Cell i of `cells` along a length spans cell_start(i) to cell_end(i), the end left out.
static __device__ int cell_start(int i, int length, int cells) { return (long long)i * length / cells; }
static __device__ int cell_end(int i, int length, int cells) {
    return ((long long)(i + 1) * length + cells - 1) / cells;
}

extern "C" __global__ void adaptive_avg_pool2d(
    INDEX count, const REAL* x, REAL* y, int height, int width, int out_h, int out_w) {
    FOR_EACH(index, count) {  // (N, C, oH, oW)
        const int q = index % out_w, p = index / out_w % out_h;
        const REAL* plane = x + index / out_w / out_h * height * width;
        const int top = cell_start(p, height, out_h), bottom = cell_end(p, height, out_h);
        const int left = cell_start(q, width, out_w), right = cell_end(q, width, out_w);
        REAL total = 0;
        for (int row = top; row < bottom; row++)
            for (int column = left; column < right; column++) total += plane[(INDEX)row * width + column];
        y[index] = total / ((INDEX)(bottom - top) * (right - left));
    }
}

// A position h lies in the cells floor(h * cells / length) to ceil((h + 1) * cells / length) - 1: cell_start and
// cell_end with the two lengths exchanged.
extern "C" __global__ void adaptive_avg_pool2d_grad(
    INDEX count, const REAL* dy, REAL* dx, int height, int width, int out_h, int out_w) {
    FOR_EACH(index, count) {  // (N, C, H, W)
        const int column = index % width, row = index / width % height;
        const REAL* plane = dy + index / width / height * out_h * out_w;
        REAL total = 0;
        for (int p = cell_start(row, out_h, height); p < cell_end(row, out_h, height); p++) {
            const int rows = cell_end(p, height, out_h) - cell_start(p, height, out_h);
            for (int q = cell_start(column, out_w, width); q < cell_end(column, out_w, width); q++) {
                const int columns = cell_end(q, width, out_w) - cell_start(q, width, out_w);
                total += plane[(INDEX)p * out_w + q] / ((INDEX)rows * columns);
            }
        }
        dx[index] = total;
    }
}
