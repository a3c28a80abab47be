// What makes CUDA C a C++ program for the CPU. Threads of a block are threads of the caller, blocks run one by one.
#include <math.h>
#include <pthread.h>

#define __global__
#define __device__
#define __shared__ static

struct Dim {
    unsigned x = 0, y = 0, z = 0;
};
static thread_local Dim threadIdx;
static Dim blockIdx, blockDim, gridDim;
static pthread_barrier_t barrier;
static pthread_mutex_t atomic = PTHREAD_MUTEX_INITIALIZER;

#define __syncthreads() pthread_barrier_wait(&barrier)

template <class T>
static T atomicAdd(T* address, T value) {
    pthread_mutex_lock(&atomic);
    const T before = *address;
    *address += value;
    pthread_mutex_unlock(&atomic);
    return before;
}

template <class T>
static T min(T a, T b) {
    return b < a ? b : a;
}
template <class T>
static T max(T a, T b) {
    return a < b ? b : a;
}

extern "C" void begin_launch(unsigned blocks, unsigned threads) {
    gridDim.x = blocks;
    blockDim.x = threads;
    pthread_barrier_init(&barrier, nullptr, threads);
}
extern "C" void begin_block(unsigned block) { blockIdx.x = block; }
extern "C" void begin_thread(unsigned thread) { threadIdx.x = thread; }
extern "C" void end_launch() { pthread_barrier_destroy(&barrier); }

// The kernel's parameters as the compiler sees them: one letter each (NumPy's), "P" before what a pointer points at.
template <class T>
struct Letter;
#define LETTER(type, letter)                \
    template <>                             \
    struct Letter<type> {                   \
        static const char value = letter;   \
        static const bool pointer = false;  \
    }
LETTER(float, 'f');
LETTER(double, 'd');
LETTER(int, 'i');
LETTER(unsigned, 'I');
LETTER(long long, 'q');
LETTER(unsigned long long, 'Q');
template <class T>
struct Letter<const T> : Letter<T> {};
template <class T>
struct Letter<T*> {
    static const char value = Letter<T>::value;
    static const bool pointer = true;
};
template <class... Parameters>
static const char* described(void (*)(Parameters...)) {
    static char text[3 * sizeof...(Parameters) + 1];
    char* end = text;
    ((Letter<Parameters>::pointer ? (void)(*end++ = 'P') : (void)0, *end++ = Letter<Parameters>::value, *end++ = ','),
     ...);
    *end = 0;
    return text;
}
#define DESCRIBE(kernel) \
    extern "C" const char* describe_##kernel() { return described(kernel); }
