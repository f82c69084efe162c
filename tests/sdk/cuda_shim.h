/* Lets g++ compile kernels.cu as it is: a launch is a loop over its threads, one after the other, and halves are _Float16.

   It finds wrong arithmetic and wrong addresses, but no races; kernels.cu has no barriers and no shared memory. Compile it with
   -ffp-contract=off, since what is rounded by itself on the GPU must be here. */
#define CUDA_SHIM
#define __global__
#define __device__
#include <math.h>
#include <string.h>

struct Index { unsigned x, y, z; };
static thread_local Index blockIdx, threadIdx, blockDim;

static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }

static inline int atomicAdd(int *address, int value) { int old = *address; *address += value; return old; }

static inline unsigned short to_half(float value) {
    _Float16 half = (_Float16)value;
    unsigned short bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}
static inline float from_half(unsigned short bits) {
    _Float16 half;
    memcpy(&half, &bits, sizeof half);
    return (float)half;
}

/* `launch_<kernel>(argument, grid, block)`; the last threads go first, so that nobody relies on an order. */
#define LAUNCHER(kernel, Argument) \
    extern "C" void launch_##kernel(const Argument *argument, const unsigned *grid, const unsigned *block) { \
        blockDim = {block[0], block[1], block[2]}; \
        for (unsigned bz = grid[2]; bz--;) for (unsigned by = grid[1]; by--;) for (unsigned bx = grid[0]; bx--;) \
            for (unsigned tz = block[2]; tz--;) for (unsigned ty = block[1]; ty--;) for (unsigned tx = block[0]; tx--;) { \
                blockIdx = {bx, by, bz}; \
                threadIdx = {tx, ty, tz}; \
                kernel(*argument); \
            } \
    }
