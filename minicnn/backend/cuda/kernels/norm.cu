// Batch normalisation of (N, C, L), statistics over N and L. To keep a large GPU busy with few channels, each
// channel's values are cut into `parts`; a block summarises one part, and one thread per channel joins the parts.
#include "common.cuh"
#include "activation.cuh"

// The values start to end (left out) of channel c, counted along n and l, that one thread of a block visits: each a
// block's width after the last. `place` is where they are in (N, C, L).
struct ChannelWalk {
    INDEX i, l, place;
    const INDEX end, length, right, jump, gap;

    __device__ ChannelWalk(INDEX start, INDEX end, int c, int channels, INDEX length)
        : i(start + threadIdx.x), l(i % length), place((i / length * channels + c) * length + l), end(end),
          length(length), right(blockDim.x % length), jump(blockDim.x / length * channels * length + right),
          gap((channels - 1) * length) {}

    __device__ bool inside() const { return i < end; }

    __device__ void step() {
        i += blockDim.x;
        l += right;
        place += jump;
        if (l >= length) {  // on to the next image
            l -= length;
            place += gap;
        }
    }
};

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

// Each thread sums the distances of its values from the first of them, and their squares. Where the first is far from
// the others, so is their mean, and the squares do not cancel by more than the number of its values. Means are counted
// from the first value of the channel, so that they are precise even if all values are far from zero.
extern "C" __global__ void batch_norm_moments(
    INDEX count, const STORE* x, REAL* moments, int images, int channels, INDEX length, int parts) {
    __shared__ Moments partial[BLOCK];
    const INDEX values = images * length, part_length = (values + parts - 1) / parts;
    for (INDEX job = blockIdx.x; job < count; job += gridDim.x) {  // (C, parts)
        const INDEX start = job % parts * part_length, end = min(values, start + part_length);
        ChannelWalk at(start, end, job / parts, channels, length);
        const REAL first = at.inside() ? (REAL)x[at.place] : (REAL)0;
        REAL sum = 0, squares = 0;
        int number = 0;
#pragma unroll 4
        for (; at.inside(); at.step(), number++) {
            const REAL distance = (REAL)x[at.place] - first;
            sum += distance;
            squares += distance * distance;
        }
        Moments own = {0, 0, (REAL)number};
        if (number) {
            const REAL mean = sum / number, around_mean = squares - sum * mean;
            own.mean = first - (REAL)x[job / parts * length] + mean;
            own.squares = around_mean < 0 ? (REAL)0 : around_mean;
        }
        partial[threadIdx.x] = own;
        __syncthreads();
        for (int half = blockDim.x / 2; half > 0; half /= 2) {
            if ((int)threadIdx.x < half)
                partial[threadIdx.x] = join(partial[threadIdx.x], partial[threadIdx.x + half]);
            __syncthreads();
        }
        if (threadIdx.x == 0) {  // (3, C, parts)
            moments[job] = partial[0].mean;
            moments[count + job] = partial[0].squares;
            moments[2 * count + job] = partial[0].count;
        }
        __syncthreads();
    }
}

// statistics (3, C): the mean, the biased variance, and 1 / sqrt(variance + eps). The running statistics, null where
// none are kept, move towards the mean and the variance times `unbiased`.
extern "C" __global__ void batch_norm_statistics(
    INDEX count, const REAL* moments, const STORE* x, INDEX length, REAL* statistics, int parts, REAL eps,
    REAL* running_mean, REAL* running_var, REAL momentum, REAL unbiased) {
    FOR_EACH(c, count) {
        const INDEX jobs = count * parts;
        Moments all = {0, 0, 0};
        for (INDEX job = c * parts; job < (c + 1) * parts; job++)
            all = join(all, Moments{moments[job], moments[jobs + job], moments[2 * jobs + job]});
        const REAL mean = all.mean + (REAL)x[c * length], variance = all.squares / all.count;
        statistics[c] = mean;
        statistics[count + c] = variance;
        statistics[2 * count + c] = 1 / sqrt(variance + eps);
        if (running_mean) running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean;
        if (running_var) running_var[c] = (1 - momentum) * running_var[c] + momentum * (variance * unbiased);
    }
}

// What the norm makes of channel c: (x - mean) * scale + shift. Of the pointers, weight and bias may be null, for 1 and
// 0, and inv_std if there is a variance.
struct Line {
    REAL mean, inv_std, scale, shift;

    __device__ Line(
        int c, const REAL* mean, const REAL* variance, REAL eps, const REAL* inv_stds, const REAL* weight,
        const REAL* bias)
        : mean(mean[c]), inv_std(inv_stds ? inv_stds[c] : 1 / sqrt(variance[c] + eps)),
          scale(weight ? weight[c] * inv_std : inv_std), shift(bias ? bias[c] : (REAL)0) {}

    __device__ REAL of(REAL x) const { return (x - mean) * scale + shift; }
};

// y = activation(line of x [+ residual]); residual may be null. A group of threads takes a plane, or one of the pieces
// into which a large one is cut where there are few.
extern "C" __global__ void norm_apply(
    INDEX count, const STORE* __restrict__ x, const REAL* mean, const REAL* variance, REAL eps, const REAL* inv_std,
    const REAL* weight, const REAL* bias, const STORE* __restrict__ residual, int activation, STORE* __restrict__ y,
    int channels, INDEX length, int pieces, int lanes) {
    lanes = min(lanes, (int)blockDim.x);
    const INDEX piece_length = (length + pieces - 1) / pieces;
    FOR_EACH_GROUP(job, count, lanes) {  // (N, C, pieces)
        const INDEX plane = job / pieces, start = plane * length + job % pieces * piece_length;
        const INDEX end = min(start + piece_length, (plane + 1) * length);
        const Line line(plane % channels, mean, variance, eps, inv_std, weight, bias);
#pragma unroll 4
        for (INDEX i = start + threadIdx.x % lanes; i < end; i += lanes) {
            REAL value = line.of(x[i]);
            if (residual) value += (REAL)residual[i];
            y[i] = activate(value, activation);
        }
    }
}

// sums (2, C, parts): of g, and of g * x_hat, where g is the gradient at the activation's input. g is written to
// passed, unless null; residual, too, may be null.
template <int ACTIVATION>
static __device__ void grad_sums(
    INDEX count, const STORE* __restrict__ dy, const STORE* __restrict__ x, const REAL* mean, const REAL* inv_std,
    const REAL* weight, const REAL* bias, const STORE* __restrict__ residual,
    STORE* __restrict__ passed, REAL* sums, REAL* partial, int images, int channels, INDEX length, int parts) {
    const INDEX values = images * length, part_length = (values + parts - 1) / parts;
    for (INDEX job = blockIdx.x; job < count; job += gridDim.x) {  // (C, parts)
        const int c = job / parts;
        const Line line(c, mean, nullptr, 0, inv_std, weight, bias);
        const INDEX start = job % parts * part_length;
        REAL plain = 0, weighted = 0;
#pragma unroll 4
        for (ChannelWalk at(start, min(values, start + part_length), c, channels, length); at.inside(); at.step()) {
            REAL g = dy[at.place];
            const REAL pixel = x[at.place];
            if (ACTIVATION) {
                REAL value = line.of(pixel);
                if (residual) value += (REAL)residual[at.place];
                g = activation_grad(g, value, ACTIVATION);
            }
            if (passed) passed[at.place] = g;
            plain += g;
            weighted += g * (pixel - line.mean);
        }
        plain = block_sum(plain, partial);
        weighted = block_sum(weighted, partial);
        if (threadIdx.x == 0) {
            sums[job] = plain;
            sums[count + job] = weighted * line.inv_std;
        }
    }
}

extern "C" __global__ void norm_grad_sums(
    INDEX count, const STORE* __restrict__ dy, const STORE* __restrict__ x, const REAL* mean, const REAL* inv_std,
    const REAL* weight, const REAL* bias, const STORE* __restrict__ residual, int activation,
    STORE* __restrict__ passed, REAL* sums, int images, int channels, INDEX length, int parts) {
    __shared__ REAL partial[BLOCK];
#define ARGUMENTS                                                                                                      \
    count, dy, x, mean, inv_std, weight, bias, residual, passed, sums, partial, images, channels, length, parts
    if (activation == RELU)
        grad_sums<RELU>(ARGUMENTS);
    else if (activation == SILU)
        grad_sums<SILU>(ARGUMENTS);
    else
        grad_sums<0>(ARGUMENTS);
}

// A block for each channel adds up the parts of its sums. Each result (C,) has memory of its own: it is the gradient of a
// parameter.
extern "C" __global__ void norm_grad_totals(
    INDEX count, const REAL* sums, REAL* total_plain, REAL* total_weighted, int parts) {
    __shared__ REAL partial[BLOCK];
    for (INDEX c = blockIdx.x; c < count; c += gridDim.x) {
        REAL plain = 0, weighted = 0;
        for (int part = threadIdx.x; part < parts; part += blockDim.x) {
            plain += sums[c * parts + part];
            weighted += sums[(count + c) * parts + part];
        }
        plain = block_sum(plain, partial);
        weighted = block_sum(weighted, partial);
        if (threadIdx.x == 0) {
            total_plain[c] = plain;
            total_weighted[c] = weighted;
        }
    }
}

// dx = weight * inv_std * (g - E[g] - x_hat * E[g * x_hat]). The totals (C,) are the sums of g and of g * x_hat, and null
// if the statistics do not depend on x: then there are no such terms. g is as in norm_grad_sums, without a residual.
extern "C" __global__ void norm_grad_apply(
    INDEX count, const STORE* __restrict__ dy, const STORE* __restrict__ x, const REAL* mean, const REAL* inv_std,
    const REAL* weight, const REAL* bias, int activation, const REAL* total_plain, const REAL* total_weighted,
    STORE* __restrict__ dx, int channels, INDEX length, REAL values, int pieces, int lanes) {
    lanes = min(lanes, (int)blockDim.x);
    const INDEX piece_length = (length + pieces - 1) / pieces;
    FOR_EACH_GROUP(job, count, lanes) {  // (N, C, pieces)
        const INDEX plane = job / pieces, start = plane * length + job % pieces * piece_length;
        const INDEX end = min(start + piece_length, (plane + 1) * length);
        const int c = plane % channels;
        const Line line(c, mean, nullptr, 0, inv_std, weight, bias);
        const REAL average = total_plain ? total_plain[c] / values : (REAL)0;
        const REAL slope = total_weighted ? total_weighted[c] / values * line.inv_std : (REAL)0;
#pragma unroll 4
        for (INDEX i = start + threadIdx.x % lanes; i < end; i += lanes) {
            const REAL pixel = x[i], g = activation_grad(dy[i], line.of(pixel), activation);
            dx[i] = (g - average - (pixel - line.mean) * slope) * line.scale;
        }
    }
}
