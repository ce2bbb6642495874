// Products, windows and step functions of binary networks on a processor's words; `library.py` compiles and
// calls it. A frame is either 32-bit integers, channels fastest, or bit planes: for every pixel and every
// plane ceil(channels / 64) words, channel 0 in the lowest bit, unused bits 0.
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))

using Word = std::uint64_t;
using Int = std::int32_t;
using Wide = std::int64_t;

// eight output channels at once, whatever registers the processor has
typedef Word Lanes __attribute__((vector_size(64), aligned(8)));
typedef Wide Sums __attribute__((vector_size(64), aligned(8)));

constexpr int LANES = 8;
constexpr int ROWS = 4;

static INLINE long words_of(long channels) { return (channels + 63) / 64; }
static INLINE long padded(long channels) { return (channels + 63) / 64 * 64; }

static INLINE Word low_bits(long count) { return count < 64 ? (Word(1) << count) - 1 : ~Word(0); }

static INLINE Lanes ones(Lanes x) {
#if defined(__AVX512VPOPCNTDQ__)
    return (Lanes)_mm512_popcnt_epi64((__m512i)x);
#elif defined(__AVX2__)
    // Mula, Kurz, Lemire: Faster population counts using AVX2 instructions, The Computer Journal, 2018
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    Lanes counts;
    for (int half = 0; half < 2; ++half) {
        __m256i part;
        std::memcpy(&part, reinterpret_cast<const char *>(&x) + 32 * half, 32);
        const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(part, nibble));
        const __m256i high =
            _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(part, 4), nibble));
        part = _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
        std::memcpy(reinterpret_cast<char *>(&counts) + 32 * half, &part, 32);
    }
    return counts;
#else
    Lanes counts;
    for (int lane = 0; lane < LANES; ++lane) counts[lane] = __builtin_popcountll(x[lane]);
    return counts;
#endif
}

static INLINE Wide ones_of(const Word *x, long words) {
    Wide count = 0;
    for (long word = 0; word < words; ++word) count += __builtin_popcountll(x[word]);
    return count;
}

// bit `plane` of up to 64 codes, and of what fills them up to a multiple of eight
static INLINE Word bits_of(const Int *codes, long count, int plane) {
    Word bits = 0;
#if defined(__AVX2__)
    for (int part = 0; 8 * part < count; ++part) {
        const __m256i eight = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(codes + 8 * part));
        const __m256i top = _mm256_sll_epi32(eight, _mm_cvtsi32_si128(31 - plane));
        bits |= Word(unsigned(_mm256_movemask_ps(_mm256_castsi256_ps(top)))) << 8 * part;
    }
#else
    for (int lane = 0; lane < count; ++lane) bits |= Word(codes[lane] >> plane & 1) << lane;
#endif
    return bits;
}

// codes of one pixel, of which those from `channels` on to the next multiple of 64 may be anything
static INLINE void pack_pixel(const Int *codes, long channels, int planes, Word *words) {
    for (int plane = 0; plane < planes; ++plane)
        for (long at = 0; at < channels; at += 64) {
            const long count = channels - at < 64 ? channels - at : 64;
            *words++ = bits_of(codes + at, count, plane) & low_bits(count);
        }
}

extern "C" {

// What becomes of the sums of one pixel. level = base + signs of the thresholds that a sum reaches, as in
// design/step_functions.py; without steps (count < 0) it is the sum. Written are low + step * level as
// integers, or, where `planes` > 0, the bits of first + level.
struct Ending {
    const Int *base, *thresholds, *signs;
    Int count, low, step, first, planes;
    Int *integers;
    Word *words;
};
}

// sums[channels], and room for what fills them up to a multiple of 64
static void finish(const Ending &to, Int *sums, long channels, long pixel) {
    if (to.count < 0) {
        std::memcpy(to.integers + pixel * channels, sums, channels * sizeof(Int));
        return;
    }
    Int levels[padded(channels)];
    std::memcpy(levels, to.base, channels * sizeof(Int));
    if (to.count <= COMPARED) {
        // thresholds (count, channels)
        for (Int step = 0; step < to.count; ++step) {
            const Int *limits = to.thresholds + step * channels, *signs = to.signs + step * channels;
            for (long m = 0; m < channels; ++m) levels[m] += sums[m] >= limits[m] ? signs[m] : 0;
        }
    } else {
        // thresholds (channels, count); signs (channels, count + 1): the heights behind so many of them
        for (long m = 0; m < channels; ++m) {
            const Int *limits = to.thresholds + m * to.count;
            Int place = 0;
            for (Int left = to.count; left > 0;) {
                const Int half = left / 2;
                const bool above = limits[place + half] <= sums[m];
                place = above ? place + half + 1 : place;
                left = above ? left - half - 1 : half;
            }
            levels[m] += to.signs[m * (to.count + 1) + place];
        }
    }
    if (to.planes > 0) {
        for (long m = 0; m < channels; ++m) levels[m] += to.first;
        pack_pixel(levels, channels, to.planes, to.words + pixel * to.planes * words_of(channels));
    } else {
        Int *values = to.integers + pixel * channels;
        for (long m = 0; m < channels; ++m) values[m] = to.low + to.step * levels[m];
    }
}

enum Operation { XOR, XOR_WITHIN, XOR_OUTSIDE, AND };

template <int OPERATION>
static INLINE Lanes joined(Lanes weights, Word x, Word mask) {
    if (OPERATION == AND) return weights & x;
    if (OPERATION == XOR_WITHIN) return (weights ^ x) & mask;
    if (OPERATION == XOR_OUTSIDE) return (weights ^ x) & ~mask;
    return weights ^ x;
}

// adds `gain` times the popcounts of `rows` pixels, `stride` words apart, and eight channels to sums
template <int OPERATION, int MANY>
static INLINE void count_block(const Word *x, const Word *mask, long stride, const Lanes *weights, long words,
                               Wide gain, Sums *sums, long sums_stride) {
    Lanes counts[MANY] = {};
    for (long word = 0; word < words; ++word)
        for (int row = 0; row < MANY; ++row)
            counts[row] += ones(joined<OPERATION>(weights[word], x[row * stride + word],
                                                  OPERATION == XOR_WITHIN || OPERATION == XOR_OUTSIDE
                                                      ? mask[row * stride + word]
                                                      : 0));
    for (int row = 0; row < MANY; ++row) sums[row * sums_stride] += (Sums)counts[row] * gain;
}

struct Factors {
    const Word *x, *weights;
    long words, x_planes, weight_planes, channels;
    int first, second;
    const Wide *gains, *pixel_gains, *start;
};

// The sums of some pixels (pixels, channels filled up to 64s), those of plane `first` of x unless it is AND.
template <int OPERATION, int MANY>
static INLINE void some_sums(const Factors &of, const Word *x, int first, Int *narrow) {
    const long blocks = (of.channels + LANES - 1) / LANES, stride = of.x_planes * of.words;
    const bool all = OPERATION == AND;
    Sums sums[MANY * blocks];
    for (int row = 0; row < MANY; ++row) std::memcpy(sums + row * blocks, of.start, blocks * sizeof(Sums));
    for (long p = all ? 0 : first; p < (all ? of.x_planes : first + 1); ++p)
        for (long q = 0; q < of.weight_planes; ++q) {
            const Lanes *weights = reinterpret_cast<const Lanes *>(of.weights) + q * blocks * of.words;
            const Wide gain = of.gains[all ? p * of.weight_planes + q : 0];
            for (long block = 0; block < blocks; ++block)
                count_block<OPERATION, MANY>(x + p * of.words, x + of.second * of.words, stride,
                                             weights + block * of.words, of.words, gain, sums + block, blocks);
        }
    for (int row = 0; row < MANY; ++row) {
        Wide own = 0;
        for (long p = 0; p < of.x_planes; ++p)
            if (of.pixel_gains[p])
                own += of.pixel_gains[p] * ones_of(x + row * stride + p * of.words, of.words);
        const Wide *wide = reinterpret_cast<const Wide *>(sums + row * blocks);
        Int *to = narrow + row * padded(of.channels);
        for (long m = 0; m < of.channels; ++m) to[m] = Int(wide[m] + own);
    }
}

template <int OPERATION, int MANY>
static void some_pixels(const Factors &of, const Int *gates, const Ending &to, long pixel) {
    const long wide = padded(of.channels);
    const Word *x = of.x + pixel * of.x_planes * of.words;
    Int sums[MANY * wide];
    some_sums<OPERATION, MANY>(of, x, of.first, sums);
    if (gates) {
        Int low[MANY * wide];
        some_sums<OPERATION, MANY>(of, x, 0, low);
        for (int row = 0; row < MANY; ++row)
            for (long m = 0; m < of.channels; ++m) {
                const Int high = sums[row * wide + m];
                sums[row * wide + m] = 2 * high + (high >= gates[m] ? low[row * wide + m] : 0);
            }
    }
    for (int row = 0; row < MANY; ++row) finish(to, sums + row * wide, of.channels, pixel + row);
}

template <int OPERATION>
static void all_pixels(const Factors &of, const Int *gates, const Ending &to, long pixels) {
    long pixel = 0;
    for (; pixel + ROWS <= pixels; pixel += ROWS) some_pixels<OPERATION, ROWS>(of, gates, to, pixel);
    for (; pixel < pixels; ++pixel) some_pixels<OPERATION, 1>(of, gates, to, pixel);
}

template <typename FLOAT, int MANY>
static void dense_pixels(const Int *x, long inputs, const FLOAT *weights, long channels, const Ending &to,
                         long pixel) {
    const long wide = padded(channels);
    Int sums[MANY * wide];
    // whole cache lines of channels stay in registers while the inputs pass
    constexpr int CHUNK = 64 / sizeof(FLOAT) * 2;
    for (long from = 0; from < wide; from += CHUNK) {
        FLOAT kept[MANY][CHUNK] = {};
        for (long k = 0; k < inputs; ++k)
            for (int row = 0; row < MANY; ++row) {
                const FLOAT value = FLOAT(x[(pixel + row) * inputs + k]);
                for (int m = 0; m < CHUNK; ++m) kept[row][m] += value * weights[k * wide + from + m];
            }
        for (int row = 0; row < MANY; ++row)
            for (int m = 0; m < CHUNK; ++m) sums[row * wide + from + m] = Int(kept[row][m]);
    }
    for (int row = 0; row < MANY; ++row) finish(to, sums + row * wide, channels, pixel + row);
}

template <typename FLOAT>
static void dense_all(const Int *x, long pixels, long inputs, const FLOAT *weights, long channels,
                      const Ending &to) {
    long pixel = 0;
    for (; pixel + ROWS <= pixels; pixel += ROWS)
        dense_pixels<FLOAT, ROWS>(x, inputs, weights, channels, to, pixel);
    for (; pixel < pixels; ++pixel) dense_pixels<FLOAT, 1>(x, inputs, weights, channels, to, pixel);
}

// Where windows lie: images (height, width), kernel, stride, pads above and left, dilation, output size.
struct Geometry {
    long height, width, kernel[2], stride[2], pads[2], dilation[2], output[2];
};

// For a number of planes, 0 for any.
template <int PLANES>
static void windows_of(const Word *images, long frames, long channels, int any, const Geometry &of,
                       const Word *border, Word *windows) {
    const int planes = PLANES ? PLANES : any;
    const long count = words_of(channels), wide = words_of(of.kernel[0] * of.kernel[1] * channels);
    const int last = (channels - 1) % 64 + 1;
    Word kept[PLANES ? PLANES : any], none[planes * count];
    for (int plane = 0; plane < planes; ++plane)
        for (long word = 0; word < count; ++word)
            none[plane * count + word] = border[plane] & low_bits(word + 1 == count ? last : 64);
    for (long frame = 0; frame < frames; ++frame, images += of.height * of.width * planes * count)
        for (long row = 0; row < of.output[0]; ++row)
            for (long column = 0; column < of.output[1]; ++column, windows += planes * wide) {
                Word *to = windows;
                // so many bits of a word are kept until it is full
                int filled = 0;
                for (int plane = 0; plane < planes; ++plane) kept[plane] = 0;
                for (long ky = 0; ky < of.kernel[0]; ++ky) {
                    const long y = row * of.stride[0] - of.pads[0] + ky * of.dilation[0];
                    for (long kx = 0; kx < of.kernel[1]; ++kx) {
                        const long x = column * of.stride[1] - of.pads[1] + kx * of.dilation[1];
                        const bool inside = y >= 0 && y < of.height && x >= 0 && x < of.width;
                        const Word *from = inside ? images + (y * of.width + x) * planes * count : none;
                        for (long word = 0; word < count; ++word) {
                            const int bits = word + 1 == count ? last : 64;
                            for (int plane = 0; plane < planes; ++plane) {
                                const Word part = from[plane * count + word];
                                kept[plane] |= part << filled;
                                if (filled + bits < 64) continue;
                                to[plane * wide] = kept[plane];
                                kept[plane] = filled ? part >> (64 - filled) : 0;
                            }
                            to += filled + bits >= 64;
                            filled = (filled + bits) % 64;
                        }
                    }
                }
                if (filled)
                    for (int plane = 0; plane < planes; ++plane) to[plane * wide] = kept[plane];
            }
}

extern "C" {

// Integers (pixels, channels) to planes; bipolar ones are -1 and 1.
void pack(const Int *x, long pixels, long channels, int planes, int bipolar, Word *words) {
    const long count = words_of(channels);
    Int codes[64];
    for (long pixel = 0; pixel < pixels; ++pixel, words += planes * count)
        for (long at = 0; at < channels; at += 64) {
            const long some = channels - at < 64 ? channels - at : 64;
            const Int *values = x + pixel * channels + at;
            for (long m = 0; m < some; ++m) codes[m] = bipolar ? (values[m] + 1) >> 1 : values[m];
            for (int plane = 0; plane < planes; ++plane)
                words[plane * count + at / 64] = bits_of(codes, some, plane) & low_bits(some);
        }
}

// Planes to integers: offset and the gains of the bits that are set.
void unpack(const Word *words, long pixels, long channels, int planes, const Int *gains, Int offset, Int *x) {
    const long count = words_of(channels);
    for (long pixel = 0; pixel < pixels; ++pixel) {
        Int *values = x + pixel * channels;
        for (long m = 0; m < channels; ++m) values[m] = offset;
        for (int plane = 0; plane < planes; ++plane, words += count)
            for (long m = 0; m < channels; ++m) values[m] += (words[m / 64] >> m % 64 & 1) * gains[plane];
    }
}

// sums[m] = start[m] + gains * popcounts of planes of x joined with planes of the weights
//           + pixel_gains * popcounts of planes of x. Weights (planes, channels / 8, words, 8).
// With gates the planes `first` and 0 are two bits of a code, see kernels/gated_mvu.py:
// sums[m] = 2 * high + (low where high reaches gates[m]).
void product(int operation, const Word *x, long pixels, long inputs, long x_planes, int first, int second,
             const Word *weights, long weight_planes, long channels, const Wide *gains, const Wide *pixel_gains,
             const Wide *start, const Int *gates, const Ending *to) {
    const Factors of{x,     weights, words_of(inputs), x_planes,    weight_planes, channels,
                     first, second,  gains,            pixel_gains, start};
    if (operation == XOR) all_pixels<XOR>(of, gates, *to, pixels);
    if (operation == XOR_WITHIN) all_pixels<XOR_WITHIN>(of, gates, *to, pixels);
    if (operation == XOR_OUTSIDE) all_pixels<XOR_OUTSIDE>(of, gates, *to, pixels);
    if (operation == AND) all_pixels<AND>(of, gates, *to, pixels);
}

// Integers (pixels, inputs) times weights (inputs, channels filled up to a multiple of 64), as floats that
// hold every partial sum exactly.
void dense(const Int *x, long pixels, long inputs, const void *weights, int doubles, long channels,
           const Ending *to) {
    if (doubles)
        dense_all(x, pixels, inputs, static_cast<const double *>(weights), channels, *to);
    else
        dense_all(x, pixels, inputs, static_cast<const float *>(weights), channels, *to);
}

// Step functions of integers (pixels, inputs); channel m takes input places[m].
void steps(const Int *x, long pixels, long inputs, const Int *places, long channels, const Ending *to) {
    Int values[padded(channels)];
    for (long pixel = 0; pixel < pixels; ++pixel, x += inputs) {
        for (long m = 0; m < channels; ++m) values[m] = x[places[m]];
        finish(*to, values, channels, pixel);
    }
}

// Planes of images (frames, height, width, planes, words) to planes of windows, taps in raster order.
void window_planes(const Word *images, long frames, long channels, int planes, const Geometry *of,
                   const Word *border, Word *windows) {
    const auto some = planes == 1   ? windows_of<1>
                      : planes == 2 ? windows_of<2>
                      : planes == 3 ? windows_of<3>
                                    : windows_of<0>;
    some(images, frames, channels, planes, *of, border, windows);
}

// The same of integers (frames, height, width, channels).
void window_integers(const Int *images, long frames, long channels, const Geometry *of, Int border,
                     Int *windows) {
    for (long frame = 0; frame < frames; ++frame, images += of->height * of->width * channels)
        for (long row = 0; row < of->output[0]; ++row)
            for (long column = 0; column < of->output[1]; ++column)
                for (long ky = 0; ky < of->kernel[0]; ++ky) {
                    const long y = row * of->stride[0] - of->pads[0] + ky * of->dilation[0];
                    for (long kx = 0; kx < of->kernel[1]; ++kx, windows += channels) {
                        const long x = column * of->stride[1] - of->pads[1] + kx * of->dilation[1];
                        if (y >= 0 && y < of->height && x >= 0 && x < of->width)
                            std::memcpy(windows, images + (y * of->width + x) * channels, channels * sizeof(Int));
                        else
                            for (long m = 0; m < channels; ++m) windows[m] = border;
                    }
                }
}

// Windows (pixels, taps * channels) of one plane: the OR of the taps.
void any_tap(const Word *windows, long pixels, long taps, long channels, Word *found) {
    const long count = words_of(channels), wide = words_of(taps * channels);
    for (long pixel = 0; pixel < pixels; ++pixel, windows += wide, found += count)
        for (long word = 0; word < count; ++word) {
            const long bits = word + 1 == count ? (channels - 1) % 64 + 1 : 64;
            Word any = 0;
            for (long tap = 0; tap < taps; ++tap) {
                const long at = tap * channels + 64 * word, place = at % 64;
                Word part = windows[at / 64] >> place;
                if (place + bits > 64) part |= windows[at / 64 + 1] << (64 - place);
                any |= part;
            }
            found[word] = any & low_bits(bits);
        }
}

// Windows (pixels, taps, channels) of integers: the largest of the taps.
void largest_tap(const Int *windows, long pixels, long taps, long channels, Int *found) {
    for (long pixel = 0; pixel < pixels; ++pixel, found += channels) {
        std::memcpy(found, windows, channels * sizeof(Int));
        windows += channels;
        for (long tap = 1; tap < taps; ++tap, windows += channels)
            for (long m = 0; m < channels; ++m) found[m] = windows[m] > found[m] ? windows[m] : found[m];
    }
}

// Windows (pixels, taps, channels) times weights (taps, channels), summed over the taps.
void weighted_taps(const Int *windows, long pixels, long taps, long channels, const Int *weights, Int *found) {
    for (long pixel = 0; pixel < pixels; ++pixel, found += channels) {
        std::memset(found, 0, channels * sizeof(Int));
        for (long tap = 0; tap < taps; ++tap, windows += channels)
            for (long m = 0; m < channels; ++m) found[m] += windows[m] * weights[tap * channels + m];
    }
}

// Of two lines the one below or from the knee on, see design/two_slopes.py; slopes, constants (2, channels).
void two_slopes(const Int *x, long pixels, long channels, const Wide *knee, const Wide *slopes,
                const Wide *constants, int shift, Int *found) {
    for (long pixel = 0; pixel < pixels; ++pixel, x += channels, found += channels)
        for (long m = 0; m < channels; ++m) {
            const long line = x[m] >= knee[m] ? channels : 0;
            found[m] = Int((slopes[line + m] * x[m] + constants[line + m]) >> shift);
        }
}

void add(const Int *left, const Int *right, long count, int left_shift, int right_shift, Int offset,
         Int *found) {
    for (long at = 0; at < count; ++at)
        found[at] = left[at] * (Int(1) << left_shift) + right[at] * (Int(1) << right_shift) + offset;
}

}  // extern "C"
