// Batch normalisation of (N, C, L), statistics over N and L. To keep a large GPU busy with few channels, each
// channel's values are cut into `parts`; a block summarises one part, and one thread per channel joins the parts.
#include "common.cuh"

// A mean, the sum of squared distances from it, and the number of values. Two of them are joined without the
// cancellation of E[x^2] - E[x]^2 [Chan, Golub and LeVeque, 1983].
struct Moments {
    REAL mean, squares, count;
};

static __device__ Moments join(Moments a, Moments b) {
    const REAL count = a.count + b.count;
    if (count == 0) return a;
    const REAL distance = b.mean - a.mean, share = b.count / count;
    return Moments{a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share, count};
}

// moments (3, C, parts): the means, then the squares, then the counts.
extern "C" __global__ void batch_norm_moments(
    INDEX count, const REAL* x, REAL* moments, int images, int channels, INDEX length, int parts) {
    __shared__ Moments partial[BLOCK];
    const INDEX values = images * length, part_length = (values + parts - 1) / parts;
    for (INDEX job = blockIdx.x; job < count; job += gridDim.x) {  // (C, parts)
        const int c = job / parts;
        const INDEX start = job % parts * part_length, end = min(values, start + part_length);
        Moments own = {0, 0, 0};
        for (INDEX i = start + threadIdx.x; i < end; i += blockDim.x) {
            const REAL value = x[(i / length * channels + c) * length + i % length];
            own.count += 1;
            const REAL distance = value - own.mean;
            own.mean += distance / own.count;
            own.squares += distance * (value - own.mean);
        }
        partial[threadIdx.x] = own;
        __syncthreads();
        for (int half = blockDim.x / 2; half > 0; half /= 2) {
            if ((int)threadIdx.x < half)
                partial[threadIdx.x] = join(partial[threadIdx.x], partial[threadIdx.x + half]);
            __syncthreads();
        }
        if (threadIdx.x == 0) {
            moments[job] = partial[0].mean;
            moments[count + job] = partial[0].squares;
            moments[2 * count + job] = partial[0].count;
        }
        __syncthreads();
    }
}

// statistics (4, C): the mean, the biased variance, 1 / sqrt(variance + eps), and weight times that. weight may be
// null, for 1.
extern "C" __global__ void batch_norm_statistics(
    INDEX count, const REAL* moments, const REAL* weight, REAL* statistics, int parts, REAL eps) {
    FOR_EACH(c, count) {
        const INDEX jobs = count * parts;
        Moments all = {0, 0, 0};
        for (INDEX job = c * parts; job < (c + 1) * parts; job++)
            all = join(all, Moments{moments[job], moments[jobs + job], moments[2 * jobs + job]});
        const REAL variance = all.squares / all.count;
        statistics[c] = all.mean;
        statistics[count + c] = variance;
        const REAL inv_std = 1 / sqrt(variance + eps);
        statistics[2 * count + c] = inv_std;
        statistics[3 * count + c] = weight ? weight[c] * inv_std : inv_std;
    }
}

// Activations: 0 for none.
enum { RELU = 1, SILU = 2 };

// y = activation((x - mean) * scale + shift [+ residual]). mean, shift and residual may be null, for 0.
extern "C" __global__ void batch_norm_apply(
    INDEX count, const REAL* x, const REAL* mean, const REAL* scale, const REAL* shift, const REAL* residual, REAL* y,
    int channels, INDEX length, int activation) {
    FOR_EACH(index, count) {  // (N, C, L)
        const int c = index / length % channels;
        REAL value = (mean ? x[index] - mean[c] : x[index]) * scale[c];
        if (shift) value += shift[c];
        if (residual) value += residual[index];
        if (activation == RELU && value <= 0) value = 0;  // NaN stays NaN
        if (activation == SILU) value /= 1 + exp(-value);
        y[index] = value;
    }
}

// The gradient at the activation's input, before[at], from that at its output.
static __device__ REAL activation_grad(REAL dy, const REAL* before, INDEX at, int activation) {
    if (!activation) return dy;
    const REAL value = before[at];
    if (activation == RELU) return value <= 0 ? (REAL)0 : dy;
    const REAL sigmoid = 1 / (1 + exp(-value));
    return dy * sigmoid * (1 + value * (1 - sigmoid));
}

// sums (2, C, parts): of g, and of g * x_hat, where g is the gradient at the activation's input, before (null if
// there is none). g is written to passed, unless null.
extern "C" __global__ void batch_norm_grad_sums(
    INDEX count, const REAL* dy, const REAL* x, const REAL* before, int activation, const REAL* mean,
    const REAL* inv_std, REAL* passed, REAL* sums, int images, int channels, INDEX length, int parts) {
    __shared__ REAL partial[BLOCK];
    const INDEX values = images * length, part_length = (values + parts - 1) / parts;
    for (INDEX job = blockIdx.x; job < count; job += gridDim.x) {  // (C, parts)
        const int c = job / parts;
        const INDEX start = job % parts * part_length, end = min(values, start + part_length);
        REAL plain = 0, weighted = 0;
        for (INDEX i = start + threadIdx.x; i < end; i += blockDim.x) {
            const INDEX at = (i / length * channels + c) * length + i % length;
            const REAL slope = activation_grad(dy[at], before, at, activation);
            if (passed) passed[at] = slope;
            plain += slope;
            weighted += slope * ((x[at] - mean[c]) * inv_std[c]);
        }
        plain = block_sum(plain, partial);
        weighted = block_sum(weighted, partial);
        if (threadIdx.x == 0) {
            sums[job] = plain;
            sums[count + job] = weighted;
        }
    }
}

// dx = weight * inv_std * (g - E[g] - x_hat * E[g * x_hat]); totals (2, C): the sums of g and of g * x_hat.
extern "C" __global__ void batch_norm_grad_apply(
    INDEX count, const REAL* dy, const REAL* x, const REAL* before, int activation, const REAL* mean,
    const REAL* inv_std, const REAL* weight, const REAL* totals, REAL* dx, int channels, INDEX length, REAL values) {
    FOR_EACH(index, count) {  // (N, C, L)
        const int c = index / length % channels;
        const REAL x_hat = (x[index] - mean[c]) * inv_std[c];
        const REAL scale = weight ? weight[c] * inv_std[c] : inv_std[c];
        const REAL slope = activation_grad(dy[index], before, index, activation);
        dx[index] = (slope - totals[c] / values - x_hat * (totals[channels + c] / values)) * scale;
    }
}
