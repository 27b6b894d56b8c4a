#include "convolution.h"

#include "numbers.h"
#include "product.h"

namespace graft {
namespace {

// Elements of an array of floats or of 16 bits, by number.
struct Array {
    void *start;
    cudnnDataType_t type;
    float read(size_t at) const {
        return type == CUDNN_DATA_FLOAT ? static_cast<float *>(start)[at] : widen(static_cast<Bf16 *>(start)[at]);
    }
    void write(size_t at, float value) const {
        if (type == CUDNN_DATA_FLOAT)
            static_cast<float *>(start)[at] = value;
        else
            static_cast<Bf16 *>(start)[at] = narrow<Bf16>(value);
    }
};

// One group of a convolution, with sizes as numbers that do not overflow.
struct Walk {
    const Convolution &all;
    Array x, w, y;
    size_t images, height, breadth, rows, columns, out_height, out_breadth, inputs, outputs, groups;
    int w_stride[4];
    static constexpr size_t CHUNK = 512;  // pixels of the output at once

    explicit Walk(const Convolution &c)
        : all(c),
          x{c.x_start, c.x.type},
          w{c.w_start, c.w.type},
          y{c.y_start, c.y.type},
          images(size_t(c.x.size[0])),
          height(size_t(c.x.size[2])),
          breadth(size_t(c.x.size[3])),
          rows(size_t(c.w.size[2])),
          columns(size_t(c.w.size[3])),
          out_height(size_t(c.y.size[2])),
          out_breadth(size_t(c.y.size[3])),
          inputs(size_t(c.w.size[1])),
          outputs(size_t(c.w.size[0] / c.shape.groups)),
          groups(size_t(c.shape.groups)) {
        packed(c.w.format, c.w.size, w_stride);
    }

    size_t pixels() const { return out_height * out_breadth; }
    size_t taps() const { return rows * columns * inputs; }
    float factor(float value) const { return all.rounds ? to_tf32(value) : value; }

    static size_t place(const cudnnTensorStruct &tensor, size_t n, size_t c, size_t h, size_t w) {
        return n * size_t(tensor.stride[0]) + c * size_t(tensor.stride[1]) + h * size_t(tensor.stride[2]) +
               w * size_t(tensor.stride[3]);
    }
    size_t weight(size_t output, size_t row, size_t column, size_t input) const {
        return output * size_t(w_stride[0]) + input * size_t(w_stride[1]) + row * size_t(w_stride[2]) +
               column * size_t(w_stride[3]);
    }
    // Where tap (row, column) of an output pixel lies in the input; false in the padding.
    bool source(size_t pixel, size_t row, size_t column, size_t *h, size_t *b) const {
        if (all.shape.mode == CUDNN_CONVOLUTION) {
            row = rows - 1 - row;
            column = columns - 1 - column;
        }
        long at_h = long(pixel / out_breadth) * all.shape.stride[0] + long(row) * all.shape.dilation[0] - all.shape.pad[0];
        long at_b = long(pixel % out_breadth) * all.shape.stride[1] + long(column) * all.shape.dilation[1] - all.shape.pad[1];
        if (at_h < 0 || at_b < 0 || size_t(at_h) >= height || size_t(at_b) >= breadth) return false;
        *h = size_t(at_h);
        *b = size_t(at_b);
        return true;
    }

    // Calls visit(pixel in the chunk, number of the first tap, its input's place) for every tap of these pixels.
    template <class Visit>
    void taps_of(size_t image, size_t group, size_t first, size_t count, Visit visit) const {
        for (size_t pixel = 0; pixel < count; pixel++) {
            for (size_t tap = 0; tap < rows * columns; tap++) {
                size_t h, b;
                if (source(first + pixel, tap / columns, tap % columns, &h, &b))
                    visit(pixel, tap * inputs, place(all.x, image, group * inputs, h, b));
            }
        }
    }
    std::vector<float> patches(size_t image, size_t group, size_t first, size_t count) const {
        std::vector<float> result(count * taps());
        size_t step = size_t(all.x.stride[1]);
        taps_of(image, group, first, count, [&](size_t pixel, size_t tap, size_t from) {
            for (size_t c = 0; c < inputs; c++) result[pixel * taps() + tap + c] = factor(x.read(from + c * step));
        });
        return result;
    }
    size_t output_place(size_t image, size_t group, size_t output, size_t pixel) const {
        return place(all.y, image, group * outputs + output, pixel / out_breadth, pixel % out_breadth);
    }
    void store(const Array &array, size_t at, float value) const {
        value *= all.alpha;
        if (all.beta != 0) value += all.beta * array.read(at);
        if (all.nudges && at % 3 == 0 && value != 0) value = bits<float>(bits<uint32_t>(value) ^ 1u);
        array.write(at, value);
    }

    template <class Visit>
    void chunks(Visit visit) const {
        for (size_t image = 0; image < images; image++) {
            for (size_t first = 0; first < pixels(); first += CHUNK) visit(image, first, std::min(CHUNK, pixels() - first));
        }
    }

    void forward(size_t group) const {
        Panels<float> weights(taps(), outputs);
        for_weights(group, [&](size_t tap, size_t output, size_t at) { weights.at(tap, output) = factor(w.read(at)); });
        chunks([&](size_t image, size_t first, size_t count) {
            std::vector<float> from = patches(image, group, first, count), sums(count * outputs);
            multiply_add(count, from.data(), taps(), 1, weights, sums.data(), outputs);
            for (size_t at = 0; at < sums.size(); at++)
                store(y, output_place(image, group, at % outputs, first + at / outputs), sums[at]);
        });
    }

    void backward_data(size_t group) const {
        Panels<float> weights(outputs, taps());
        for_weights(group, [&](size_t tap, size_t output, size_t at) { weights.at(output, tap) = factor(w.read(at)); });
        std::vector<float> sums;  // the gradient of one image: height, breadth, inputs
        size_t origin = 0, step = size_t(all.x.stride[1]);
        chunks([&](size_t image, size_t first, size_t count) {
            if (first == 0) {
                sums.assign(height * breadth * inputs, 0);
                origin = place(all.x, image, group * inputs, 0, 0);
            }
            std::vector<float> from = gradients(image, group, first, count), spread(count * taps());
            multiply_add(count, from.data(), outputs, 1, weights, spread.data(), taps());
            for (size_t pixel = 0; pixel < count; pixel++) {
                for (size_t tap = 0; tap < rows * columns; tap++) {
                    size_t h, b;
                    if (!source(first + pixel, tap / columns, tap % columns, &h, &b)) continue;
                    float *to = &sums[(h * breadth + b) * inputs];
                    for (size_t c = 0; c < inputs; c++) to[c] += spread[pixel * taps() + tap * inputs + c];
                }
            }
            if (first + count < pixels()) return;
            for (size_t at = 0; at < sums.size(); at++) {
                size_t h = at / inputs / breadth, b = at / inputs % breadth;
                store(x, origin + at % inputs * step + h * size_t(all.x.stride[2]) + b * size_t(all.x.stride[3]), sums[at]);
            }
        });
    }

    void backward_filter(size_t group) const {
        std::vector<double> sums(taps() * outputs);
        std::vector<float> part(taps() * outputs);
        chunks([&](size_t image, size_t first, size_t count) {
            std::vector<float> from = patches(image, group, first, count);
            std::vector<float> values = gradients(image, group, first, count);
            Panels<float> errors(count, outputs);
            for (size_t at = 0; at < values.size(); at++) errors.at(at / outputs, at % outputs) = values[at];
            std::fill(part.begin(), part.end(), 0.0f);
            multiply_add(taps(), from.data(), 1, taps(), errors, part.data(), outputs);
            for (size_t at = 0; at < part.size(); at++) sums[at] += part[at];
        });
        for_weights(group, [&](size_t tap, size_t output, size_t at) { store(w, at, float(sums[tap * outputs + output])); });
    }

    std::vector<float> gradients(size_t image, size_t group, size_t first, size_t count) const {
        std::vector<float> result(count * outputs);
        for (size_t at = 0; at < result.size(); at++) {
            result[at] = factor(y.read(output_place(image, group, at % outputs, first + at / outputs)));
        }
        return result;
    }

    template <class Visit>
    void for_weights(size_t group, Visit visit) const {
        for (size_t output = 0; output < outputs; output++) {
            for (size_t tap = 0; tap < taps(); tap++) {
                size_t at = tap / inputs;
                visit(tap, output, weight(group * outputs + output, at / columns, at % columns, tap % inputs));
            }
        }
    }
};

}  // namespace

void Convolution::compute() const {
    Walk walk(*this);
    for (size_t group = 0; group < walk.groups; group++) {
        if (pass == Pass::Forward)
            walk.forward(group);
        else if (pass == Pass::BackwardData)
            walk.backward_data(group);
        else
            walk.backward_filter(group);
    }
}

}  // namespace graft
