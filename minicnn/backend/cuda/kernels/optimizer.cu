// One pass over a parameter per update; backend/reference/optimizer.py has the equations.
#include "common.cuh"

// buffer is null without momentum; in the first step it is written and not read.
extern "C" __global__ void sgd_step(
    INDEX count, REAL* param, const REAL* grad, REAL* buffer, int first, REAL lr, REAL momentum, REAL undampened,
    REAL weight_decay, int nesterov, int maximize) {
    FOR_EACH(i, count) {
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

// largest is null without AMSGrad. shrink = 1 - lr * weight_decay for AdamW, else 1; decay is Adam's own, else 0.
// step_size = lr / (1 - beta1^t), root_correction = sqrt(1 - beta2^t).
extern "C" __global__ void adam_step(
    INDEX count, REAL* param, const REAL* grad, REAL* exp_avg, REAL* exp_avg_sq, REAL* largest, REAL beta1, REAL rest1,
    REAL beta2, REAL rest2, REAL eps, REAL decay, REAL shrink, REAL step_size, REAL root_correction, int maximize) {
    FOR_EACH(i, count) {
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
