/* The storage types of matrices on the device: fp32, bf16, fp16, always computed with as floats.
 * Several neighbouring elements are loaded and stored at a time, 128 bits an access; conversions
 * round to nearest, ties to even, and keep ∞ and NaN. */
#ifndef DKI_VECTOR_CUH
#define DKI_VECTOR_CUH

#include "backend/backend.h"
#include "kernels/launch.h"

#include <string.h>

#define DKI_DEVICE __device__ __forceinline__

/** Elements in 128 bits: what a thread handles of a row at a time. */
template <class T> struct dki_lanes {
    enum { COUNT = 16 / sizeof(T) };
};

DKI_DEVICE float dki_to_float(float x) {
    return x;
}
DKI_DEVICE float dki_to_float(__nv_bfloat16 x) {
    return __bfloat162float(x);
}
DKI_DEVICE float dki_to_float(__half x) {
    return __half2float(x);
}

template <class T> DKI_DEVICE T dki_from_float(float x);
template <> DKI_DEVICE float dki_from_float<float>(float x) {
    return x;
}
template <> DKI_DEVICE __nv_bfloat16 dki_from_float<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}
template <> DKI_DEVICE __half dki_from_float<__half>(float x) {
    return __float2half_rn(x);
}

/** The widest type that N elements of T are a multiple of: 8 or 16 bytes. */
template <int BYTES> struct dki_word_of { typedef uint4 type; };
template <> struct dki_word_of<8> { typedef uint2 type; };

/** N neighbouring elements as they lie in memory. Loads of several of these, and only then their
 *  use, keep that many accesses in flight. */
template <class T, int N = dki_lanes<T>::COUNT> struct dki_pack {
    typedef typename dki_word_of<N * sizeof(T)>::type word;
    enum { WORDS = N * sizeof(T) / sizeof(word) };
    static_assert(WORDS * sizeof(word) == N * sizeof(T), "8 bytes, or a multiple of 16");
    word bits[WORDS];

    DKI_DEVICE void load(const T *from) {
        DK_ALIGNED(from, sizeof(word));
#pragma unroll
        for (int i = 0; i < WORDS; ++i) bits[i] = reinterpret_cast<const word *>(from)[i];
    }

    /** The first `count` elements of a row, which may be more than N: where the row is packed, all N, of
     *  its padding as well, and what isn't the row's may be anything. One load a pack, and no load
     *  waits for another one, however the row ends. */
    DKI_DEVICE void load_row(const T *from, int64_t count, bool packed) {
        if (packed) {
            load(from);
            return;
        }
        T elements[N] = {};
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (i < count) elements[i] = from[i];
        memcpy(bits, elements, sizeof bits);
    }

    DKI_DEVICE void store(T *to) const {
        DK_ALIGNED(to, sizeof(word));
#pragma unroll
        for (int i = 0; i < WORDS; ++i) reinterpret_cast<word *>(to)[i] = bits[i];
    }

    DKI_DEVICE void get(float (&values)[N]) const {
        T elements[N];
        memcpy(elements, bits, sizeof elements);
#pragma unroll
        for (int i = 0; i < N; ++i) values[i] = dki_to_float(elements[i]);
    }

    DKI_DEVICE void set(const float (&values)[N]) {
        T elements[N];
#pragma unroll
        for (int i = 0; i < N; ++i) elements[i] = dki_from_float<T>(values[i]);
        memcpy(bits, elements, sizeof elements);
    }
};

/** values = from[0 … N−1]; dki_packed must hold. */
template <class T, int N> DKI_DEVICE void dki_load(float (&values)[N], const T *from) {
    dki_pack<T, N> pack;
    pack.load(from);
    pack.get(values);
}

/** to[0 … N−1] = values, rounded; dki_packed must hold. */
template <class T, int N> DKI_DEVICE void dki_store(T *to, const float (&values)[N]) {
    dki_pack<T, N> pack;
    pack.set(values);
    pack.store(to);
}

/** values = the first `count` of N elements, `rest` beyond them. */
template <class T, int N>
DKI_DEVICE void dki_load_some(float (&values)[N], const T *from, int64_t count, bool packed,
                              float rest) {
    if (packed && count >= N) {
        dki_load<T, N>(values, from);
        return;
    }
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = i < count ? dki_to_float(from[i]) : rest;
}

/** The first `count` of N elements = values, rounded. */
template <class T, int N>
DKI_DEVICE void dki_store_some(T *to, const float (&values)[N], int64_t count, bool packed) {
    if (packed && count >= N) {
        dki_store<T, N>(to, values);
        return;
    }
#pragma unroll
    for (int i = 0; i < N; ++i)
        if (i < count) to[i] = dki_from_float<T>(values[i]);
}

/** Whether every N-th element of every row, from the first on, may be accessed as a dki_pack<T, N>.
 *  True of an absent matrix (NULL). A vector has ld 0. */
template <class T, int N = dki_lanes<T>::COUNT>
static inline bool dki_packed(const void *data, int64_t ld) {
    const uintptr_t alignment = sizeof(typename dki_pack<T, N>::word);
    return !data || ((uintptr_t)data % alignment == 0 && (uint64_t)ld * sizeof(T) % alignment == 0);
}

/** run(an element of the type), so that decltype makes the type a constant:
 *  dki_with_element(type, [&](auto element) { using T = decltype(element); … return error; }). */
template <class Run> static inline int dki_with_element(dki_element type, const Run &run) {
    if (type == DKI_ELEMENT_F32) return run(float());
    if (type == DKI_ELEMENT_BF16) return run(__nv_bfloat16());
    return run(__half());
}

#endif
