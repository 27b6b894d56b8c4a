// Products of matrices for cuBLAS and cuDNN: neither clever nor hopelessly slow.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

namespace graft {

// A matrix of `rows` times `columns` with zeros behind its columns, cut into panels of as many columns as a vector holds.
template <class T>
struct Panels {
    static constexpr size_t WIDTH = 64 / sizeof(T);
    typedef T Vector __attribute__((vector_size(64), aligned(sizeof(T))));
    size_t rows, columns;
    std::vector<T> values;

    Panels(size_t rows, size_t columns)
        : rows(rows), columns(columns), values(rows * ((columns + WIDTH - 1) / WIDTH * WIDTH)) {}
    T &at(size_t row, size_t column) { return values[(column / WIDTH * rows + row) * WIDTH + column % WIDTH]; }
    const T *panel(size_t column) const { return &values[column * rows]; }
};

// c += a · b, with a of `rows` rows; element (i, k) of a is a[i * a_row + k * a_column], (i, j) of c is c[i * c_row + j].
template <class T>
void multiply_add(size_t rows, const T *a, size_t a_row, size_t a_column, const Panels<T> &b, T *c, size_t c_row) {
    typedef typename Panels<T>::Vector Vector;
    const size_t WIDTH = Panels<T>::WIDTH, HEIGHT = 4;
    if (b.rows == 0) return;
    for (size_t j = 0; j < b.columns; j += WIDTH) {
        const T *panel = b.panel(j);
        for (size_t i = 0; i < rows; i += HEIGHT) {
            size_t used = std::min(HEIGHT, rows - i);
            const T *row[4];
            for (size_t r = 0; r < HEIGHT; r++) row[r] = a + (i + std::min(r, used - 1)) * a_row;
            Vector s0{}, s1{}, s2{}, s3{};
            for (size_t k = 0; k < b.rows; k++) {
                Vector values = *reinterpret_cast<const Vector *>(panel + k * WIDTH);
                s0 += values * row[0][k * a_column];
                s1 += values * row[1][k * a_column];
                s2 += values * row[2][k * a_column];
                s3 += values * row[3][k * a_column];
            }
            const Vector sums[4] = {s0, s1, s2, s3};
            size_t width = std::min(WIDTH, b.columns - j);
            for (size_t r = 0; r < used; r++) {
                for (size_t x = 0; x < width; x++) c[(i + r) * c_row + j + x] += sums[r][x];
            }
        }
    }
}

}  // namespace graft
