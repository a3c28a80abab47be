// Deformable sampling: im2col on an irregular grid, and its chain rule (backend/reference/deformable.py derives it).
#include "common.cuh"

// The four pixels around a point: for each its address (or -1 outside), its nearness, and the slopes of the nearness.
struct Corners {
    INDEX address[4];
    REAL nearness[4], slope_y[4], slope_x[4];
    REAL missing;  // NaN if the point is NaN, else 0
};

// Outside the image (beyond one pixel, or NaN) no pixel is near. On a grid line the slope is that towards larger
// coordinates.
static __device__ Corners corners(REAL y, REAL x, int height, int width) {
    Corners found;
    found.missing = y != y || x != x ? y + x : (REAL)0;
    const bool near_image = y >= -1 && y < height && x >= -1 && x < width;
    const int top = near_image ? (int)floor(y) : 0, left = near_image ? (int)floor(x) : 0;
    const REAL below = y - top, right = x - left;
    for (int corner = 0; corner < 4; corner++) {
        const int down = corner / 2, across = corner % 2;
        const int row = top + down, column = left + across;
        const bool inside = near_image && row >= 0 && row < height && column >= 0 && column < width;
        const REAL near_y = down ? below : 1 - below, near_x = across ? right : 1 - right;
        found.address[corner] = inside ? (INDEX)row * width + column : -1;
        found.nearness[corner] = inside ? near_y * near_x : (REAL)0;
        found.slope_y[corner] = inside ? (down ? near_x : -near_x) : (REAL)0;
        found.slope_x[corner] = inside ? (across ? near_y : -near_y) : (REAL)0;
    }
    return found;
}

// Where tap (i, j) = (tap / kW, tap % kW) of window l = (p, q) samples, given the group's offsets (K, 2, oH, oW).
static __device__ Corners sample_at(
    const REAL* offset, int tap, INDEX l, int height, int width, int out_h, int out_w, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w;
    const REAL y = l / out_w * stride_h - pad_h + tap / kernel_w * dilation_h + offset[(INDEX)2 * tap * windows + l];
    const REAL x = l % out_w * stride_w - pad_w + tap % kernel_w * dilation_w
                   + offset[((INDEX)2 * tap + 1) * windows + l];
    return corners(y, x, height, width);
}

#define GEOMETRY kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w

// columns (C * K, N * L). mask may be null, for 1.
extern "C" __global__ void deform_im2col(
    INDEX count, const REAL* x, const REAL* offset, const REAL* mask, REAL* columns, int images, int channels,
    int groups, int height, int width, int out_h, int out_w, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w;
    const int taps = kernel_h * kernel_w;
    FOR_EACH(index, count) {  // (C, K, N, L)
        const INDEX l = index % windows;
        const int n = index / windows % images;
        const int tap = index / windows / images % taps;
        const int c = index / windows / images / taps;
        const INDEX group = (INDEX)n * groups + c / (channels / groups);
        const Corners at = sample_at(offset + group * 2 * taps * windows, tap, l, height, width, out_h, out_w, GEOMETRY);
        const REAL* plane = x + ((INDEX)n * channels + c) * height * width;
        REAL value = at.missing;
        for (int corner = 0; corner < 4; corner++)
            if (at.address[corner] >= 0) value += at.nearness[corner] * plane[at.address[corner]];
        columns[index] = mask ? value * mask[(group * taps + tap) * windows + l] : value;
    }
}

// One thread per sampling position: it alone sums the gradients of that offset and mask over the group's
// channels, and shares only d_x, which starts at zero. mask and d_mask may be null.
extern "C" __global__ void deform_im2col_grad(
    INDEX count, const REAL* d_columns, const REAL* x, const REAL* offset, const REAL* mask, REAL* d_x, REAL* d_offset,
    REAL* d_mask, int images, int channels, int groups, int height, int width, int out_h, int out_w, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w;
    const int taps = kernel_h * kernel_w, per_group = channels / groups;
    FOR_EACH(index, count) {  // (N, G, K, L)
        const INDEX l = index % windows;
        const int tap = index / windows % taps;
        const INDEX group = index / windows / taps;
        const int n = group / groups, first = group % groups * per_group;
        const Corners at = sample_at(offset + group * 2 * taps * windows, tap, l, height, width, out_h, out_w, GEOMETRY);
        const REAL modulation = mask ? mask[index] : (REAL)1;
        REAL d_y = 0, d_xx = 0, d_modulation = 0;
        for (int c = first; c < first + per_group; c++) {
            const REAL cotangent = d_columns[(((INDEX)c * taps + tap) * images + n) * windows + l];
            const INDEX plane = ((INDEX)n * channels + c) * height * width;
            for (int corner = 0; corner < 4; corner++) {
                if (at.address[corner] < 0) continue;
                const REAL pixel = x[plane + at.address[corner]];
                d_modulation += cotangent * at.nearness[corner] * pixel;
                d_y += cotangent * modulation * at.slope_y[corner] * pixel;
                d_xx += cotangent * modulation * at.slope_x[corner] * pixel;
                atomicAdd(d_x + plane + at.address[corner], cotangent * modulation * at.nearness[corner]);
            }
        }
        d_offset[((group * taps + tap) * 2) * windows + l] = d_y;
        d_offset[((group * taps + tap) * 2 + 1) * windows + l] = d_xx;
        if (d_mask) d_mask[index] = d_modulation;
    }
}
