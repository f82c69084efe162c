// Pictures to tiles and back on the GPU: what sdk/networks/tiling.py and to_unit, from_unit of sdk/images.py do in numpy, bit for bit.
//
//   find_colour  are the three planes of a picture one and the same?
//   count_patterns  how often does each pattern of 14 pixels occur (sdk/analysis/methods.py)?
//   unpack       a whole picture -> one batch of tiles (n, planes, height, width) in [0, 1], reflected at the borders
//   blend        all tiles -> the whole picture, in the kind it came in
//
// Every thread gathers what one value is made of, and nobody else writes that value: additions happen in one order, numpy's, always.
// Each operation is rounded for itself (the compiler may not fuse __fmul_rn and __fadd_rn), so results are equal to numpy's to
// the last bit; only NaN (stored as 0 in integers) and the sign of zero may differ. Nothing is included: NVRTC has no headers.
//
// sdk/cuda/kernels.py mirrors Axis and Job.

enum Kind { BITS, BOOL, UINT8, UINT16, FLOAT32, UNCLIPPED };  // BITS only come in, most significant first; UNCLIPPED floats only go out

struct Axis {              // rows, or columns
    const int *starts;     // of each tile, px
    const int *first;      // of each pixel: the first of the at most two tiles that count there
    const float *weights;  // of each pixel: how much that tile counts, and the one after it
    int length;            // of the picture, px
    int tiles;
    int tile;              // px of a tile
    int extent;            // px of a tile as the engine takes it: no less, the rest is reflected
};

struct Job {
    Axis rows, columns;
    const unsigned char *source;   // the first pixel
    unsigned char *target;         // (height, width, channels), contiguous
    unsigned char *inputs;         // one batch of tiles for the engine
    const unsigned char *results;  // all batches of tiles from the engine
    int *has_colour;
    int *patterns;                 // 2^14 of them
    long long source_row, source_column, source_plane;  // from one to the next, bytes; BITS have rows only
    long long result_batch;                             // from one batch of results to the next, values
    int source_kind, target_kind;
    int colours;   // planes to restore: 1 or 3
    int channels;  // of the target; where there is one colour for three, it is repeated
    int has_alpha; // the last channel is passed through
    int planes;    // of a tile as the engine gives it: 1 or 3
    int conditions;  // planes beyond these that it takes, each of one value
    int half_inputs, half_results;
    int batch;        // tiles in each
    int first_tile;   // of this batch
    int every_nth;    // band of 64 rows is looked at by count_patterns
    float threshold;  // the level that cuts to black and white; negative: none
    float condition;
};

#ifndef CUDA_SHIM  // the tests compile this file by g++, with _Float16 for these two
static __device__ unsigned short to_half(float value) {
    unsigned short half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    return half;
}
static __device__ float from_half(unsigned short half) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
}
#endif

static __device__ int reflected(int i, int length) {  // numpy's "symmetric", as often as it takes: c b a | a b c | c b a
    i %= 2 * length;
    return i < length ? i : 2 * length - 1 - i;
}

static __device__ float level(const Job &job, int y, int x, int plane) {
    const unsigned char *row = job.source + y * job.source_row;
    const unsigned char *pixel = row + x * job.source_column + plane * job.source_plane;
    switch (job.source_kind) {
        case BITS: return (float)(row[x >> 3] >> (7 - (x & 7)) & 1);
        case BOOL: return *pixel ? 1.0f : 0.0f;
        case UINT8: return __fdiv_rn((float)*pixel, 255.0f);
        case UINT16: return __fdiv_rn((float)*(const unsigned short *)pixel, 65535.0f);
        default: return *(const float *)pixel;
    }
}

static __device__ float between(float value, float most) { return fminf(fmaxf(value, 0.0f), most); }

static __device__ void store(const Job &job, int y, int x, int channel, float value) {
    const long long at = ((long long)y * job.columns.length + x) * job.channels + channel;
    switch (job.target_kind) {
        case UINT8: job.target[at] = (unsigned char)rintf(between(__fmul_rn(value, 255.0f), 255.0f)); break;
        case UINT16: ((unsigned short *)job.target)[at] = (unsigned short)rintf(between(__fmul_rn(value, 65535.0f), 65535.0f)); break;
        case FLOAT32: ((float *)job.target)[at] = between(value, 1.0f); break;
        default: ((float *)job.target)[at] = value;
    }
}

static __device__ float result(const Job &job, long long at) {
    return job.half_results ? from_half(((const unsigned short *)job.results)[at]) : ((const float *)job.results)[at];
}

// What the tile in one row and column of tiles says of a pixel; an RGB model's answer to grey is the mean of its planes.
static __device__ float answer(const Job &job, int colour, int row, int column, int y, int x) {
    const int tile = ((colour / job.planes) * job.rows.tiles + row) * job.columns.tiles + column;
    const long long plane = (long long)job.rows.extent * job.columns.extent;
    const long long pixel = (long long)(y - job.rows.starts[row]) * job.columns.extent + x - job.columns.starts[column];
    const long long at = tile / job.batch * job.result_batch + tile % job.batch * job.planes * plane + pixel;
    if (job.colours >= job.planes) return result(job, at + colour % job.planes * plane);
    return __fdiv_rn(__fadd_rn(__fadd_rn(result(job, at), result(job, at + plane)), result(job, at + 2 * plane)), 3.0f);
}

// Threads (x, y): the pixels of the picture.
extern "C" __global__ void find_colour(const Job job) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.columns.length || y >= job.rows.length) return;
    const float red = level(job, y, x, 0);
    if (red != level(job, y, x, 1) || red != level(job, y, x, 2)) *job.has_colour = 1;  // whoever writes, writes the same
}

static __device__ int is_white(const Job &job, int y, int x, int plane) {
    return level(job, y, x, plane) > (job.threshold >= 0 ? job.threshold : 0.5f);
}

// Threads (x, y, colour): the pixels of the picture. Plain black and white surroundings, which tell nothing, are not counted.
extern "C" __global__ void count_patterns(const Job job) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, colour = blockIdx.z;
    if (x < 3 || x >= job.columns.length - 2 || y < 2 || y >= job.rows.length || y / 64 % job.every_nth) return;
    int pattern = is_white(job, y, x, colour);
    for (int i = 1; i <= 3; i++) pattern |= is_white(job, y, x - i, colour) << i;
    for (int i = 0; i < 10; i++) pattern |= is_white(job, y - 1 - i / 5, x - 2 + i % 5, colour) << (4 + i);
    if (pattern >> 1 != 0 && pattern >> 1 != 8191) atomicAdd(&job.patterns[pattern], 1);
}

// Threads (x, y, plane of the batch): the values of `inputs`. A last batch that is not full repeats the last tile.
extern "C" __global__ void unpack(const Job job) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y, z = blockIdx.z;
    if (x >= job.columns.extent || y >= job.rows.extent) return;
    const int in_plane = job.rows.tiles * job.columns.tiles;
    const int last = (job.colours > job.planes ? job.colours : 1) * in_plane - 1;
    const int given = job.planes + job.conditions, plane = z % given;
    const int wanted = job.first_tile + z / given, tile = wanted < last ? wanted : last;
    const int colour = (tile / in_plane * job.planes + plane) % job.colours;
    const int row = tile % in_plane / job.columns.tiles, column = tile % job.columns.tiles;
    const int from_y = reflected(job.rows.starts[row] + reflected(y, job.rows.tile), job.rows.length);
    const int from_x = reflected(job.columns.starts[column] + reflected(x, job.columns.tile), job.columns.length);
    float value = level(job, from_y, from_x, colour);
    if (job.threshold >= 0) value = value > job.threshold ? 1.0f : 0.0f;
    if (plane >= job.planes) value = job.condition;
    const long long at = ((long long)z * job.rows.extent + y) * job.columns.extent + x;
    if (job.half_inputs) ((unsigned short *)job.inputs)[at] = to_half(value);
    else ((float *)job.inputs)[at] = value;
}

// Threads (x, y): the pixels of the picture.
extern "C" __global__ void blend(const Job job) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= job.columns.length || y >= job.rows.length) return;
    const int row = job.rows.first[y], column = job.columns.first[x], visible = job.channels - job.has_alpha;
    for (int colour = 0; colour < job.colours; colour++) {
        float sum = 0.0f;
        for (int i = 0; i < 4; i++) {  // row by row, as in numpy
            const int below = i >> 1, right = i & 1;
            const float weight = __fmul_rn(job.rows.weights[2 * y + below], job.columns.weights[2 * x + right]);
            if (weight != 0.0f) sum = __fadd_rn(sum, __fmul_rn(answer(job, colour, row + below, column + right, y, x), weight));
        }
        for (int channel = colour; channel < visible; channel += job.colours) store(job, y, x, channel, sum);
    }
    if (job.has_alpha) store(job, y, x, visible, level(job, y, x, visible));
}
