// Activations, as in backend/cuda/pointwise.py: 0 for none. NaN stays NaN.
enum { RELU = 1, SILU = 2 };

static __device__ REAL activate(REAL value, int activation) {
    if (activation == RELU) return value <= 0 ? (REAL)0 : value;
    if (activation == SILU) return value / (1 + exp(-value));
    return value;
}

// The gradient at the activation's input, which was `value`, from that at its output.
static __device__ REAL activation_grad(REAL dy, REAL value, int activation) {
    if (activation == RELU) return value <= 0 ? (REAL)0 : dy;
    if (activation == SILU) {
        const REAL sigmoid = 1 / (1 + exp(-value));
        return dy * sigmoid * (1 + value * (1 - sigmoid));
    }
    return dy;
}
