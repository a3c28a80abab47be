// Softmax and cross entropy: one block per row of logits.
#include "common.cuh"

// losses[n] = -sum_c targets * log softmax(logits[n])_c. A class with target 0 contributes nothing, even at -inf.
extern "C" __global__ void softmax_cross_entropy(
    INDEX count, const REAL* logits, const REAL* targets, REAL* losses, REAL* log_probabilities, int classes) {
    __shared__ REAL partial[BLOCK];
    for (INDEX n = blockIdx.x; n < count; n += gridDim.x) {
        const REAL* row = logits + n * classes;
        REAL largest = row[0];
        for (int c = threadIdx.x; c < classes; c += blockDim.x)
            if (row[c] > largest || row[c] != row[c]) largest = row[c];
        partial[threadIdx.x] = largest;
        __syncthreads();
        for (int half = blockDim.x / 2; half > 0; half /= 2) {
            if ((int)threadIdx.x < half) {
                const REAL other = partial[threadIdx.x + half];
                if (other > partial[threadIdx.x] || other != other) partial[threadIdx.x] = other;
            }
            __syncthreads();
        }
        largest = partial[0];
        __syncthreads();
        REAL total = 0;
        for (int c = threadIdx.x; c < classes; c += blockDim.x) total += exp(row[c] - largest);
        const REAL log_total = log(block_sum(total, partial));
        REAL loss = 0;
        for (int c = threadIdx.x; c < classes; c += blockDim.x) {
            const REAL log_probability = row[c] - largest - log_total, target = targets[n * classes + c];
            log_probabilities[n * classes + c] = log_probability;
            if (target != 0) loss -= target * log_probability;
        }
        loss = block_sum(loss, partial);
        if (threadIdx.x == 0) losses[n] = loss;
    }
}
