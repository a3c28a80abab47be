// One pass over all parameters per update; backend/reference/optimizer.py has the equations.
#include "common.cuh"

// Tensors of any sizes, passed by value: a kernel's arguments may have 4 KB. They are cut into chunks, and a block works
// on one chunk after the other [PyTorch, multi_tensor_apply]. The same in backend/cuda/tensors.py.
#define TENSORS 64
#define COLUMNS 5
#define CHUNK 8192

struct Tensors {
    long long sizes[TENSORS];
    REAL* arrays[COLUMNS][TENSORS];  // of each tensor: the parameter, its gradient, ...; null where there is none
    int ends[TENSORS];               // how many chunks this tensor and those before it have
    int first;                       // the number of the first one among all
};

// The numbers of one chunk: those from start up to end of a tensor.
struct Part {
    int tensor;
    long long start, end;
};

static __device__ Part part_of(const Tensors& tensors, int chunk) {
    Part part = {0, chunk, 0};
    for (; chunk >= tensors.ends[part.tensor]; part.tensor++) part.start = chunk - tensors.ends[part.tensor];
    part.start *= CHUNK;
    part.end = min(part.start + CHUNK, tensors.sizes[part.tensor]);
    return part;
}

#define FOR_EACH_CHUNK(chunk, count) for (INDEX chunk = blockIdx.x; chunk < (count); chunk += gridDim.x)
#define FOR_EACH_OF(i, part) for (long long i = part.start + threadIdx.x; i < part.end; i += blockDim.x)

// Columns: parameter, gradient, buffer. The buffer is null without momentum; in the first step it is written and not
// read. numbers: the learning rate, momentum, 1 - dampening, weight decay.
extern "C" __global__ void sgd_step(
    INDEX count, Tensors tensors, const REAL* numbers, int first, int nesterov, int maximize) {
    const REAL lr = numbers[0], momentum = numbers[1], undampened = numbers[2], weight_decay = numbers[3];
    FOR_EACH_CHUNK(chunk, count) {
        const Part part = part_of(tensors, chunk);
        REAL* param = tensors.arrays[0][part.tensor];
        const REAL* grad = tensors.arrays[1][part.tensor];
        REAL* buffer = tensors.arrays[2][part.tensor];
        FOR_EACH_OF(i, part) {
            REAL direction = maximize ? -grad[i] : grad[i];
            direction += weight_decay * param[i];
            if (buffer) {
                const REAL kept = first ? direction : momentum * buffer[i] + undampened * direction;
                buffer[i] = kept;
                direction = nesterov ? direction + momentum * kept : kept;
            }
            param[i] -= lr * direction;
        }
    }
}

// Columns: parameter, gradient, the averages, the largest square (null without AMSGrad). numbers: the seven that are
// read first, where shrink = 1 - lr * weight_decay for AdamW, else 1, and decay is Adam's own, else 0; and for each
// tensor lr / (1 - beta1^t) and sqrt(1 - beta2^t).
extern "C" __global__ void adam_step(INDEX count, Tensors tensors, const REAL* numbers, int maximize) {
    const REAL beta1 = numbers[0], rest1 = numbers[1], beta2 = numbers[2], rest2 = numbers[3];
    const REAL eps = numbers[4], decay = numbers[5], shrink = numbers[6];
    FOR_EACH_CHUNK(chunk, count) {
        const Part part = part_of(tensors, chunk);
        const REAL* corrections = numbers + 7 + 2 * (tensors.first + part.tensor);
        const REAL step_size = corrections[0], root_correction = corrections[1];
        REAL* param = tensors.arrays[0][part.tensor];
        const REAL* grad = tensors.arrays[1][part.tensor];
        REAL* exp_avg = tensors.arrays[2][part.tensor];
        REAL* exp_avg_sq = tensors.arrays[3][part.tensor];
        REAL* largest = tensors.arrays[4][part.tensor];
        FOR_EACH_OF(i, part) {
            const REAL value = shrink * param[i];
            const REAL slope = (maximize ? -grad[i] : grad[i]) + decay * value;
            const REAL mean = beta1 * exp_avg[i] + rest1 * slope;
            REAL square = beta2 * exp_avg_sq[i] + rest2 * slope * slope;
            exp_avg[i] = mean;
            exp_avg_sq[i] = square;
            if (largest) {
                if (largest[i] > square || largest[i] != largest[i]) square = largest[i];
                largest[i] = square;
            }
            param[i] = value - step_size * mean / (sqrt(square) / root_correction + eps);
        }
    }
}

// A sum, or the larger one; NaN wins.
static __device__ double joined(double a, double b, bool largest) {
    if (!largest) return a + b;
    return b > a || b != b ? b : a;
}

// The same of one value per thread of a block. All threads must take part.
static __device__ double block_joined(double value, bool largest, double* partial) {
    partial[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half)
            partial[threadIdx.x] = joined(partial[threadIdx.x], partial[threadIdx.x + half], largest);
        __syncthreads();
    }
    const double total = partial[0];
    __syncthreads();
    return total;
}

// sums: of each chunk of all tensors, from number offset on, the sum of |x|^p, or the largest |x| for an infinite p.
extern "C" __global__ void norm_of_chunks(INDEX count, Tensors tensors, double* sums, int offset, double p) {
    __shared__ double partial[BLOCK];
    const bool largest = isinf(p);
    FOR_EACH_CHUNK(chunk, count) {
        const Part part = part_of(tensors, chunk);
        const REAL* x = tensors.arrays[0][part.tensor];
        double sum = 0;
        FOR_EACH_OF(i, part) {
            const double size = fabs((double)x[i]);
            sum = joined(sum, largest ? size : p == 2 ? size * size : pow(size, p), largest);
        }
        sum = block_joined(sum, largest, partial);
        if (threadIdx.x == 0) sums[offset + chunk] = sum;
    }
}

// One job. result: the norm that the sums of all chunks give, and the factor that brings it down to limit[0], at most 1.
extern "C" __global__ void norm_and_factor(
    INDEX count, const double* sums, int chunks, const double* limit, double p, double* result) {
    __shared__ double partial[BLOCK];
    const bool largest = isinf(p);
    FOR_EACH_CHUNK(job, count) {
        double sum = 0;
        for (int i = threadIdx.x; i < chunks; i += blockDim.x) sum = joined(sum, sums[i], largest);
        sum = block_joined(sum, largest, partial);
        if (threadIdx.x > 0) continue;
        const double norm = largest ? sum : pow(sum, 1 / p), factor = limit[0] / (norm + 1e-6);
        result[0] = norm;
        result[1] = factor > 1 ? 1 : factor;  // NaN stays NaN
    }
}

// Multiply the tensors in column 0 by factor[0].
extern "C" __global__ void scale_tensors(INDEX count, Tensors tensors, const double* factor) {
    const REAL scale = factor[0];
    FOR_EACH_CHUNK(chunk, count) {
        const Part part = part_of(tensors, chunk);
        REAL* x = tensors.arrays[0][part.tensor];
        FOR_EACH_OF(i, part) x[i] *= scale;
    }
}
