// What all kernels share. A file is compiled once for each number type (float, or one of -DDOUBLE, -DHALF, -DBFLOAT16) and
// each index type (int, or long long with -DWIDE, for arrays too large for an int).
//
// STORE is the type of the numbers of images, filters and their gradients in memory; REAL that of the arithmetic on
// them, of sums, and of everything that there is once per channel or per call. A STORE of 16 bits becomes a REAL, and a
// REAL is rounded to a STORE, by assignment; no kernel computes with STOREs.
//
// Every loop strides over the whole grid, so that any number of threads computes the right result: one is enough.
#if defined DOUBLE
typedef double REAL, STORE;
#elif defined HALF
#include <cuda_fp16.h>
typedef float REAL;
typedef __half STORE;
#elif defined BFLOAT16
#include <cuda_bf16.h>
typedef float REAL;
typedef __nv_bfloat16 STORE;
#else
typedef float REAL, STORE;
#endif

#ifdef WIDE
typedef long long INDEX;
#else
typedef int INDEX;
#endif

#define FOR_EACH(i, count) \
    for (INDEX i = (INDEX)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (INDEX)blockDim.x * gridDim.x)

// Threads per block, and the number of their partial results; a power of two.
#define BLOCK 256

// How a kernel slides over an image, as in backend/base.py; only the padding above and to the left shifts it.
#define WINDOW                                                                                         \
    int kernel_h, int kernel_w, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w
#define PASS_WINDOW kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w

// The sum of one value per thread of a block, returned to all of them. All threads must take part.
template <class T>
static __device__ T block_sum(T value, T* partial) {
    partial[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if ((int)threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
        __syncthreads();
    }
    const T total = partial[0];
    __syncthreads();  // partial may be written again only when all threads have read it
    return total;
}

// Dividing takes a GPU some twenty instructions, ten times as many as moving a number. So a group of `lanes` neighbouring
// threads, a power of two and at most a block, takes a whole job: a plane of an image, or a row of columns. Its threads
// step from cell to cell by adding.
#define FOR_EACH_GROUP(job, count, lanes)                                                                              \
    for (INDEX job = (INDEX)blockIdx.x * (blockDim.x / (lanes)) + threadIdx.x / (lanes); job < (count);                \
         job += (INDEX)gridDim.x * (blockDim.x / (lanes)))

// The cells of a plane of `width` columns that one thread of a group visits: each `lanes` after the last.
struct Walk {
    INDEX cell;
    int row, column;
    const int lanes, down, right, width;

    __device__ Walk(int lanes, int width)
        : cell(threadIdx.x % lanes), row((int)cell / width), column((int)cell % width), lanes(lanes),
          down(lanes / width), right(lanes % width), width(width) {}

    __device__ void step() {
        cell += lanes;
        row += down;
        column += right;
        if (column >= width) {
            column -= width;
            row++;
        }
    }
};
