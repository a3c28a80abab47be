// Random numbers that depend on a seed and a position only, in whatever order threads draw them: Philox4x32-10
// [Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011].
#include "common.cuh"

typedef unsigned int WORD;
typedef unsigned long long WORDS;

// Ten rounds over the counter, in place; each multiplies two words and mixes the other two into the high halves.
static __device__ void philox(WORD counter[4], WORD key0, WORD key1) {
    for (int round = 0; round < 10; round++) {
        const WORDS a = (WORDS)0xD2511F53u * counter[0], b = (WORDS)0xCD9E8D57u * counter[2];
        counter[0] = (WORD)(b >> 32) ^ counter[1] ^ key0;
        counter[1] = (WORD)b;
        counter[2] = (WORD)(a >> 32) ^ counter[3] ^ key1;
        counter[3] = (WORD)a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

// words (count, 4): the generator's output for the counters 0, 1, 2 ...
extern "C" __global__ void random_words(INDEX count, WORD* words, WORDS seed) {
    FOR_EACH(index, count) {
        WORD counter[4] = {(WORD)index, (WORD)((WORDS)index >> 32), 0, 0};
        philox(counter, (WORD)seed, (WORD)(seed >> 32));
        for (int i = 0; i < 4; i++) words[4 * index + i] = counter[i];
    }
}

// 0 with probability p, else 1 / (1 - p); one counter gives four successive numbers.
// The seed is in device memory where there is a pointer to it.
extern "C" __global__ void dropout_mask(
    INDEX count, REAL* mask, INDEX size, double p, WORDS seed, const WORDS* seed_there) {
    const REAL kept = p < 1 ? 1 / (1 - p) : 0;
    if (seed_there) seed = *seed_there;
    FOR_EACH(index, count) {
        WORD counter[4] = {(WORD)index, (WORD)((WORDS)index >> 32), 0, 0};
        philox(counter, (WORD)seed, (WORD)(seed >> 32));
        for (int i = 0; i < 4 && 4 * index + i < size; i++)
            mask[4 * index + i] = counter[i] / 4294967296.0 >= p ? kept : (REAL)0;
    }
}
