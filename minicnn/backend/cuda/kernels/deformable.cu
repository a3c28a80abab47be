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
    const REAL down = offset[(INDEX)2 * tap * windows + l], across = offset[((INDEX)2 * tap + 1) * windows + l];
    const int p = l / out_w, i = tap / kernel_w, q = l - (INDEX)p * out_w, j = tap - i * kernel_w;
    return corners(
        p * stride_h - pad_h + i * dilation_h + down, q * stride_w - pad_w + j * dilation_w + across, height, width);
}

// columns (C * K, N * L). One thread takes a sampling position and `together` of the group's channels, in `shares`
// threads all of them: the four pixels are found once. mask may be null, for 1.
extern "C" __global__ void deform_im2col(
    INDEX count, const STORE* __restrict__ x, const REAL* offset, const REAL* mask, STORE* __restrict__ columns,
    int images, int channels, int groups, int together, int height, int width, int out_h, int out_w, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w, pixels = (INDEX)height * width;
    const int taps = kernel_h * kernel_w, per_group = channels / groups;
    FOR_EACH(index, count) {  // (shares, N, G, K, L)
        const INDEX job = index / windows, l = index - job * windows;
        const INDEX all_groups = job / taps;
        const int tap = job - all_groups * taps;
        const int share = all_groups / (images * groups), group = all_groups % (images * groups);
        const int n = group / groups, g = group - n * groups;
        const int first = share * together, last = min(first + together, per_group);
        const Corners at = sample_at(
            offset + (INDEX)group * 2 * taps * windows, tap, l, height, width, out_h, out_w, PASS_WINDOW);
        const REAL modulation = mask ? mask[((INDEX)group * taps + tap) * windows + l] : (REAL)1;
        const STORE* plane = x + ((INDEX)n * channels + g * per_group + first) * pixels;
        STORE* target = columns + ((((INDEX)g * per_group + first) * taps + tap) * images + n) * windows + l;
#pragma unroll 4
        for (int c = first; c < last; c++) {
            REAL value = at.missing;
            for (int corner = 0; corner < 4; corner++)
                if (at.address[corner] >= 0) value += at.nearness[corner] * (REAL)plane[at.address[corner]];
            *target = value * modulation;
            plane += pixels;
            target += taps * images * windows;
        }
    }
}

// One thread per sampling position: it alone sums the gradients of that offset and mask over the group's
// channels, and shares only d_x, which starts at zero. mask and d_mask may be null.
extern "C" __global__ void deform_im2col_grad(
    INDEX count, const STORE* __restrict__ d_columns, const STORE* __restrict__ x, const REAL* offset,
    const REAL* mask, REAL* d_x, REAL* d_offset, REAL* d_mask, int images, int channels, int groups, int height,
    int width, int out_h, int out_w, WINDOW) {
    const INDEX windows = (INDEX)out_h * out_w, pixels = (INDEX)height * width;
    const int taps = kernel_h * kernel_w, per_group = channels / groups;
    FOR_EACH(index, count) {  // (N, G, K, L)
        const INDEX job = index / windows, l = index - job * windows, group = job / taps;
        const int tap = job - group * taps, n = group / groups, first = (group - (INDEX)n * groups) * per_group;
        const Corners at = sample_at(
            offset + group * 2 * taps * windows, tap, l, height, width, out_h, out_w, PASS_WINDOW);
        const REAL modulation = mask ? mask[index] : (REAL)1;
        REAL d_y = 0, d_xx = 0, d_modulation = 0;
        const STORE* cotangents = d_columns + (((INDEX)first * taps + tap) * images + n) * windows + l;
        INDEX plane = ((INDEX)n * channels + first) * pixels;
        for (int c = 0; c < per_group; c++) {
            const REAL cotangent = *cotangents, modulated = cotangent * modulation;
            REAL value = 0, along_y = 0, along_x = 0;
            for (int corner = 0; corner < 4; corner++) {
                if (at.address[corner] < 0) continue;
                const REAL pixel = x[plane + at.address[corner]];
                value += at.nearness[corner] * pixel;
                along_y += at.slope_y[corner] * pixel;
                along_x += at.slope_x[corner] * pixel;
                atomicAdd(d_x + plane + at.address[corner], modulated * at.nearness[corner]);
            }
            d_modulation += cotangent * value;
            d_y += modulated * along_y;
            d_xx += modulated * along_x;
            cotangents += taps * images * windows;
            plane += pixels;
        }
        d_offset[((group * taps + tap) * 2) * windows + l] = d_y;
        d_offset[((group * taps + tap) * 2 + 1) * windows + l] = d_xx;
        if (d_mask) d_mask[index] = d_modulation;
    }
}
