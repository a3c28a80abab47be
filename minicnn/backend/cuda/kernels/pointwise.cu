// What is done to every number of an image by itself, and sums over planes and channels: joined, so that each number is
// read and written once. backend/reference/fused.py and fused_conv.py say what is computed.
#include "common.cuh"
#include "activation.cuh"

// y = activation(y + bias + residual) for planes (N, C) of `length` numbers, in place; bias (C,) and residual may be
// null, for 0.
extern "C" __global__ void add_and_activate(
    INDEX count, STORE* y, const REAL* bias, const STORE* residual, int channels, INDEX length, int lanes,
    int activation) {
    lanes = min(lanes, (int)blockDim.x);
    FOR_EACH_GROUP(plane, count, lanes) {
        const REAL shift = bias ? bias[plane % channels] : (REAL)0;
        for (INDEX i = threadIdx.x % lanes; i < length; i += lanes) {
            const INDEX at = plane * length + i;
            REAL value = y[at];
            value += shift;
            if (residual) value += (REAL)residual[at];
            y[at] = activate(value, activation);
        }
    }
}

// A block for each channel and part of the images, (C, parts). dx = dy where y > 0, else 0; and sums of dx for each job.
// y and dx may be null: then the sums are of dy.
extern "C" __global__ void channel_sums(
    INDEX count, const STORE* dy, const STORE* y, STORE* dx, REAL* sums, int images, int channels, int length,
    int parts) {
    __shared__ REAL partial[BLOCK];
    const int images_each = (images + parts - 1) / parts;
    for (INDEX job = blockIdx.x; job < count; job += gridDim.x) {
        const int c = job / parts, first = job % parts * images_each, last = min(first + images_each, images);
        REAL sum = 0;
        for (Walk walk(blockDim.x, length); first + walk.row < last; walk.step()) {
            const INDEX at = ((INDEX)(first + walk.row) * channels + c) * length + walk.column;
            REAL value = dy[at];
            if (y && (REAL)y[at] <= 0) value = 0;
            if (dx) dx[at] = value;
            sum += value;
        }
        sum = block_sum(sum, partial);
        if (threadIdx.x == 0) sums[job] = sum;
    }
}

// dx = dy where y, the result of the ReLU, is positive, else 0.
extern "C" __global__ void relu_grad(INDEX count, const STORE* dy, const STORE* y, STORE* dx) {
    FOR_EACH(i, count) dx[i] = activation_grad(dy[i], y[i], RELU);
}

// y = x * sigmoid(x)
extern "C" __global__ void silu(INDEX count, const STORE* x, STORE* y) {
    FOR_EACH(i, count) y[i] = activate(x[i], SILU);
}

extern "C" __global__ void silu_grad(INDEX count, const STORE* dy, const STORE* x, STORE* dx) {
    FOR_EACH(i, count) dx[i] = activation_grad(dy[i], x[i], SILU);
}

// A block for each plane. dx = dy * gate, dgate = the sum of dy * x over the plane.
extern "C" __global__ void scale_channels_grad(
    INDEX count, const STORE* dy, const STORE* x, const STORE* gate, STORE* dx, STORE* dgate, INDEX length) {
    __shared__ REAL partial[BLOCK];
    for (INDEX plane = blockIdx.x; plane < count; plane += gridDim.x) {
        const REAL factor = gate[plane];
        REAL sum = 0;
        for (INDEX i = threadIdx.x; i < length; i += blockDim.x) {
            const INDEX at = plane * length + i;
            const REAL slope = dy[at], value = x[at];
            dx[at] = slope * factor;
            sum += slope * value;
        }
        sum = block_sum(sum, partial);
        if (threadIdx.x == 0) dgate[plane] = sum;
    }
}
