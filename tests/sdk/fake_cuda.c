/* A libcuda.so.1 of malloc and memcpy, so that the driver layers run on machines without a GPU.

   It keeps the order of a stream: what is queued during a capture is kept in a list and happens when the graph is launched, and
   at no other time. The one kernel it knows, `scale_and_shift(float *values, float scale, float shift, int count)`, is "loaded" from
   any image that holds its name. What the layers do not call is not here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int CUresult;
typedef uintptr_t Handle;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NOT_FOUND = 500, CAPTURE_INVALIDATED = 901 };
enum { RELAXED = 2 };
enum { PRIMARY = 0x11, STREAM = 0x22, MODULE = 0x33, KERNEL = 0x44, KERNEL_OF_STRUCT = 0x55 };
#define LARGEST ((size_t)1 << 34)

typedef struct Work { void *to; const void *from; size_t size; float scale, shift; int count; struct Work *next; } Work;

static int depth = 0; /* of contexts; every call but the first few must find one */
static int capturing = 0, spoilt = 0, capture_mode = 0; /* by frees, unless the thread is in mode RELAXED */
static Work *first = NULL, **last = &first;

static CUresult perform(const Work *w) {
    if (w->from) memcpy(w->to, w->from, w->size);
    else for (int i = 0; i < w->count; i++) ((float *)w->to)[i] = ((float *)w->to)[i] * w->scale + w->shift;
    return SUCCESS;
}
static CUresult queue(Work w, Handle stream) {
    if (!depth) return INVALID_CONTEXT;
    if (stream != STREAM) return INVALID_VALUE;
    if (!capturing) return perform(&w);
    *last = malloc(sizeof w);
    w.next = NULL;
    **last = w;
    last = &(*last)->next;
    return SUCCESS;
}

CUresult cuInit(unsigned flags) { return SUCCESS; }
CUresult cuDriverGetVersion(int *version) { *version = 13000; return SUCCESS; }
CUresult cuDeviceGetCount(int *count) { *count = 1; return SUCCESS; }
CUresult cuDeviceGet(int *device, int number) { *device = 0; return number ? INVALID_DEVICE : SUCCESS; }
CUresult cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "Fake GPU"); return SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 8 : attribute == 76 ? 9 : 0; return SUCCESS; }
CUresult cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 8; *minor = 9; return SUCCESS; }
CUresult cuDevicePrimaryCtxRetain(Handle *context, int device) { *context = PRIMARY; return SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(int device) { return SUCCESS; }
CUresult cuCtxPushCurrent_v2(Handle context) { if (context != PRIMARY) return INVALID_CONTEXT; depth++; return SUCCESS; }
CUresult cuCtxPopCurrent_v2(Handle *context) { if (!depth) return INVALID_CONTEXT; depth--; if (context) *context = PRIMARY; return SUCCESS; }
CUresult cuCtxGetCurrent(Handle *context) { *context = depth ? PRIMARY : 0; return SUCCESS; }
CUresult cuCtxGetDevice(int *device) { *device = 0; return depth ? SUCCESS : INVALID_CONTEXT; }
CUresult cuCtxSynchronize(void) { return SUCCESS; }

CUresult cuStreamCreate(Handle *stream, unsigned flags) { *stream = STREAM; return depth && flags == 1 ? SUCCESS : INVALID_CONTEXT; }
CUresult cuStreamDestroy_v2(Handle stream) { return SUCCESS; }
CUresult cuStreamSynchronize(Handle stream) { return depth && stream == STREAM ? SUCCESS : INVALID_CONTEXT; }
CUresult cuStreamBeginCapture_v2(Handle stream, int mode) { capturing = 1; first = NULL; last = &first; return SUCCESS; }
CUresult cuThreadExchangeStreamCaptureMode(int *mode) { int before = capture_mode; capture_mode = *mode; *mode = before; return SUCCESS; }
CUresult cuStreamEndCapture(Handle stream, Work **graph) {
    int status = spoilt ? CAPTURE_INVALIDATED : SUCCESS;
    capturing = spoilt = 0;
    *graph = first;
    return status;
}
CUresult cuGraphInstantiateWithFlags(Work **executable, Work *graph, unsigned long long flags) { *executable = graph; return SUCCESS; }
CUresult cuGraphLaunch(Work *executable, Handle stream) { for (Work *w = executable; w; w = w->next) perform(w); return SUCCESS; }
CUresult cuGraphDestroy(Work *graph) { return SUCCESS; }
CUresult cuGraphExecDestroy(Work *executable) { return SUCCESS; }

CUresult cuEventCreate(struct timespec **event, unsigned flags) { *event = calloc(1, sizeof **event); return SUCCESS; }
CUresult cuEventRecord(struct timespec *event, Handle stream) { clock_gettime(CLOCK_MONOTONIC, event); return SUCCESS; }
CUresult cuStreamWaitEvent(Handle stream, struct timespec *event, unsigned flags) {
    return depth && stream == STREAM && event->tv_sec ? SUCCESS : INVALID_VALUE; /* an event that was recorded, or there is nothing to wait for */
}
CUresult cuEventDestroy_v2(struct timespec *event) { free(event); return SUCCESS; }

CUresult cuMemAlloc_v2(void **address, size_t size) {
    if (!depth) return INVALID_CONTEXT;
    if (!size) return INVALID_VALUE;
    return size < LARGEST && (*address = malloc(size)) ? SUCCESS : OUT_OF_MEMORY;
}
CUresult cuMemFree_v2(void *address) {
    if (!depth) return INVALID_CONTEXT;
    if (capturing && capture_mode != RELAXED) spoilt = 1;
    free(address);
    return SUCCESS;
}
CUresult cuPointerGetAttribute(int *value, int attribute, void *address) {
    if (attribute != 9 || address == (void *)1) return INVALID_VALUE; /* the ordinal of the device; 1 is nobody's memory */
    *value = 0;
    return SUCCESS;
}
CUresult cuMemHostAlloc(void **address, size_t size, unsigned flags) { return cuMemAlloc_v2(address, size); }
CUresult cuMemFreeHost(void *address) { return cuMemFree_v2(address); }
CUresult cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t size, Handle stream) { return queue((Work){to, from, size}, stream); }
CUresult cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t size, Handle stream) { return queue((Work){to, from, size}, stream); }

CUresult cuModuleLoadData(Handle *module, const char *image) {
    *module = MODULE;
    return depth && strstr(image, "scale_and_shift") ? SUCCESS : INVALID_IMAGE;
}
CUresult cuModuleLoadDataEx(Handle *module, const char *image, unsigned count, void *keys, void *values) { return cuModuleLoadData(module, image); }
CUresult cuModuleUnload(Handle module) { return SUCCESS; }
CUresult cuModuleGetFunction(Handle *kernel, Handle module, const char *name) {
    *kernel = strcmp(name, "scale_and_shift_job") ? KERNEL : KERNEL_OF_STRUCT;
    return *kernel == KERNEL && strcmp(name, "scale_and_shift") ? NOT_FOUND : SUCCESS;
}
CUresult cuFuncGetAttribute(int *value, int attribute, Handle kernel) { *value = 0; return SUCCESS; }
CUresult cuFuncSetBlockShape(Handle kernel, int x, int y, int z) { return SUCCESS; }
CUresult cuLaunchKernel(Handle kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                        Handle stream, void **arguments, void **extra) {
    struct { float *values; float scale, shift; int count; } all;
    if (kernel != KERNEL && kernel != KERNEL_OF_STRUCT) return INVALID_VALUE;
    if (extra) { /* one buffer, as PyCUDA passes it: laid out as the kernel's struct would be */
        memcpy(&all, extra[1], sizeof all);
    } else if (kernel == KERNEL_OF_STRUCT) {
        memcpy(&all, arguments[0], sizeof all);
    } else {
        all.values = *(float **)arguments[0];
        all.scale = *(float *)arguments[1];
        all.shift = *(float *)arguments[2];
        all.count = *(int *)arguments[3];
    }
    if ((uint64_t)gx * bx < (uint64_t)all.count) return INVALID_VALUE;
    return queue((Work){all.values, NULL, 0, all.scale, all.shift, all.count}, stream);
}

CUresult cuGetErrorName(CUresult error, const char **text) { *text = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR"; return SUCCESS; }
CUresult cuGetErrorString(CUresult error, const char **text) { *text = error == OUT_OF_MEMORY ? "out of memory" : "fake error"; return SUCCESS; }

CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    char name[128];
    snprintf(name, sizeof name, "%s_v2", symbol);
    void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    *function = dlsym(self, name);
    if (!*function) *function = dlsym(self, symbol);
    if (!*function && !strcmp(symbol, "cuGraphInstantiate")) *function = dlsym(self, "cuGraphInstantiateWithFlags");
    if (status) *status = *function ? 0 : 1;
    return *function ? SUCCESS : NOT_FOUND;
}
CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) { return cuGetProcAddress_v2(symbol, function, version, flags, NULL); }
