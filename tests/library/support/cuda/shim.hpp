// What makes CUDA C a C++ program for the CPU. Threads of a block are threads of the caller, blocks run one by one.
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <stdio.h>
#include <string.h>

#define __global__
#define __device__
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static  // the sanitizer guards the ends of variables only where it has placed them itself
static void spoil_shared() {}
#else  // all in one place, so that what a block does not write it cannot read either
#define __shared__ static __attribute__((section("shared")))
extern "C" __attribute__((weak, visibility("hidden"))) char __start_shared[], __stop_shared[];
static void spoil_shared() { memset(__start_shared, 0xFF, __stop_shared - __start_shared); }  // NaN, -1
#endif

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

// CUDA's numbers of 16 bits. They are converted as there (to float, and from it to the nearest, of two the even one). Their
// arithmetic would be ambiguous or round every result, so there is none.
template <class Format>
struct Small {
    unsigned short bits;
    Small() = default;
    Small(float value) : bits(Format::rounded(value)) {}
    operator float() const { return Format::exact(bits); }
    friend void operator+(Small, Small) = delete;
    friend void operator-(Small, Small) = delete;
    friend void operator*(Small, Small) = delete;
    friend void operator/(Small, Small) = delete;
    friend void operator<(Small, Small) = delete;
    friend void operator>(Small, Small) = delete;
    friend void operator<=(Small, Small) = delete;
    friend void operator>=(Small, Small) = delete;
    friend void operator==(Small, Small) = delete;
    friend void operator!=(Small, Small) = delete;
};

template <class To, class From>
static To same_bits(From value) {
    To result;
    static_assert(sizeof result == sizeof value, "only the type changes");
    memcpy(&result, &value, sizeof value);
    return result;
}

struct Float16 {  // 1 sign, 5 exponent and 10 fraction bits
    static unsigned short rounded(float value) {
        unsigned word = same_bits<unsigned>(value);
        const unsigned sign = word >> 16 & 0x8000;
        word &= 0x7fffffff;
        if (word > 0x7f800000) return sign | 0x7e00;   // NaN
        if (word >= 0x477ff000) return sign | 0x7c00;  // infinity, from 65520 on
        if (word < 0x38800000)  // below 2^-14: the last bit of numbers around 1/2 is worth 2^-24, as theirs is
            return sign | (same_bits<unsigned>(same_bits<float>(word) + 0.5f) - 0x3f000000);
        return sign | (word - 0x38000000 + 0xfff + (word >> 13 & 1)) >> 13;
    }
    static float exact(unsigned short bits) {
        const unsigned magnitude = bits & 0x7fff;
        const float value = magnitude < 0x400    ? magnitude / 16777216.0f
                            : magnitude < 0x7c00 ? same_bits<float>((magnitude << 13) + 0x38000000)
                                                 : same_bits<float>((magnitude << 13) + 0x70000000);
        return bits & 0x8000 ? -value : value;
    }
};

struct BFloat16 {  // the upper half of a float
    static unsigned short rounded(float value) {
        const unsigned word = same_bits<unsigned>(value);
        if (value != value) return 0x7fff;
        return (word + 0x7fff + (word >> 16 & 1)) >> 16;
    }
    static float exact(unsigned short bits) { return same_bits<float>((unsigned)bits << 16); }
};

typedef Small<Float16> __half;
typedef Small<BFloat16> __nv_bfloat16;

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
extern "C" void begin_block(unsigned block) {
    blockIdx.x = block;
    spoil_shared();
}
extern "C" void begin_thread(unsigned thread) { threadIdx.x = thread; }
extern "C" void end_launch() { pthread_barrier_destroy(&barrier); }

// The kernel's parameters as the compiler sees them: one letter each (NumPy's), "P" before what a pointer points at,
// and "V" with its size for a structure.
template <class T>
struct Letter {
    static const char value = 'V';  // a structure, passed by value
    static const bool pointer = false;
};
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
LETTER(__half, 'e');
LETTER(__nv_bfloat16, 'E');
template <class T>
struct Letter<const T> : Letter<T> {};
template <class T>
struct Letter<T*> {
    static const char value = Letter<T>::value;
    static const bool pointer = true;
};
template <class... Parameters>
static const char* described(void (*)(Parameters...)) {
    static char text[16 * sizeof...(Parameters) + 1];
    char* end = text;
    ((Letter<Parameters>::pointer ? (void)(*end++ = 'P') : (void)0, *end++ = Letter<Parameters>::value,
      Letter<Parameters>::value == 'V' ? (void)(end += sprintf(end, "%d", (int)sizeof(Parameters))) : (void)0,
      *end++ = ','),
     ...);
    *end = 0;
    return text;
}
#define DESCRIBE(kernel) \
    extern "C" const char* describe_##kernel() { return described(kernel); }
