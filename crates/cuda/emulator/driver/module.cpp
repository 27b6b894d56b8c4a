// Modules: PTX is read for the names of its entries and their parameters; what runs is the library of kernels.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "state.h"

namespace graft {

Handles<CUmod_st> &modules() {
    static auto all = new Handles<CUmod_st>;
    return *all;
}
Handles<CUfunc_st> &functions() {
    static auto all = new Handles<CUfunc_st>;
    return *all;
}

namespace {

// The library of kernels, null if there is none.
void *kernels() {
    static void *library = [] {
        std::string path;
        if (const char *chosen = getenv("GRAFT_EMULATED_KERNELS")) {
            path = chosen;
        } else {
            Dl_info self;
            dladdr(reinterpret_cast<void *>(&kernels), &self);
            path = self.dli_fname;
            path = path.substr(0, path.rfind('/') + 1) + "libgraft_kernels.so";
        }
        void *opened = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!opened) graft_emulated_say("no kernels: %s", dlerror());
        return opened;
    }();
    return library;
}

// The bytes of a parameter like ".param .u64 .ptr .align 1 name" or ".param .align 8 .b8 name[24]".
size_t parameter_size(const std::string &text) {
    size_t size = 0;
    std::istringstream words(text);
    std::string word;
    while (words >> word) {
        if (word.size() > 2 && word[0] == '.' && strchr("usbf", word[1]) && isdigit(word[2]))
            size = size_t(atoi(word.c_str() + 2)) / 8;
    }
    size_t array = text.find('[');
    return array == std::string::npos ? size : size * size_t(atoi(text.c_str() + array + 1));
}

// Reads every ".entry name(parameters)".
void read_entries(const std::string &ptx, CUmodule module) {
    for (size_t at = ptx.find(".entry"); at != std::string::npos; at = ptx.find(".entry", at + 1)) {
        size_t start = ptx.find_first_not_of(" \t\n", at + 6), open = ptx.find_first_of("( \t\n{", start);
        if (open == std::string::npos) return;
        auto &parameters = module->entries[ptx.substr(start, open - start)];
        open = ptx.find_first_not_of(" \t\n", open);
        if (open == std::string::npos || ptx[open] != '(') continue;
        std::istringstream list(ptx.substr(open + 1, ptx.find(')', open) - open - 1));
        std::string parameter;
        while (std::getline(list, parameter, ',')) {
            if (parameter.find(".param") != std::string::npos) parameters.push_back(parameter_size(parameter));
        }
    }
}

CUresult read_ptx(const std::string &ptx, CUmodule module) {
    size_t target = ptx.find(".target sm_");
    if (ptx.find(".version") == std::string::npos || target == std::string::npos) {
        graft_emulated_say("the image of a module is no PTX: it has no .version or .target");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    int major, minor, wanted = atoi(ptx.c_str() + target + strlen(".target sm_"));
    compute_capability(&major, &minor);
    if (wanted > 10 * major + minor) {
        graft_emulated_say("PTX for sm_%d on a device of compute capability %d.%d", wanted, major, minor);
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    read_entries(ptx, module);
    return CUDA_SUCCESS;
}

// Whether what was compiled by g++ takes the parameters that the PTX does.
bool same_parameters(const KernelEntry &entry, const std::vector<size_t> &parameters) {
    bool same = parameters.size() == entry.count;
    for (size_t at = 0; same && at < entry.count; at++) same = parameters[at] == entry.arguments[at].size;
    if (!same) {
        graft_emulated_say("%s takes other parameters in the PTX than in the library of kernels: build the emulator again",
                           entry.name);
    }
    return same;
}

}  // namespace
}  // namespace graft

using namespace graft;

GRAFT_API cuModuleLoadData(CUmodule *module, const void *image) {
    if (CUresult error = ready()) return error;
    if (!module || !image) return CUDA_ERROR_INVALID_VALUE;
    auto made = std::make_unique<CUmod_st>();
    made->context = current();
    static const unsigned char ELF[4] = {0x7f, 'E', 'L', 'F'}, FAT[4] = {0x50, 0xed, 0x55, 0xba};
    // Machine code is for real devices; whoever has PTX as well gives that next.
    if (memcmp(image, ELF, 4) == 0 || memcmp(image, FAT, 4) == 0) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    if (CUresult error = read_ptx(static_cast<const char *>(image), made.get())) return error;
    *module = modules().add(made.release());
    return CUDA_SUCCESS;
}

GRAFT_API cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
    return cuModuleLoadData(module, image);
}

GRAFT_API cuModuleLoad(CUmodule *module, const char *path) {
    std::ifstream file(path ? path : "");
    if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
    std::ostringstream text;
    text << file.rdbuf();
    return cuModuleLoadData(module, text.str().c_str());
}

GRAFT_API cuModuleUnload(CUmodule module) {
    if (!modules().remove(module)) return CUDA_ERROR_INVALID_HANDLE;
    drain(module->context);
    for (auto &function : module->functions) functions().remove(function.get());
    delete module;
    return CUDA_SUCCESS;
}

GRAFT_API cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    if (CUresult error = ready()) return error;
    if (!function || !name) return CUDA_ERROR_INVALID_VALUE;
    if (!modules().has(module) || module->context != current()) return CUDA_ERROR_INVALID_HANDLE;
    auto in_ptx = module->entries.find(name);
    if (in_ptx == module->entries.end()) {
        graft_emulated_say("the module's PTX has no entry %s", name);
        return CUDA_ERROR_NOT_FOUND;
    }
    void *symbol = kernels() ? dlsym(kernels(), (std::string("graft_kernel_") + name).c_str()) : nullptr;
    if (!symbol) {
        graft_emulated_say("there is no kernel %s in the library of kernels", name);
        return CUDA_ERROR_NOT_FOUND;
    }
    auto entry = static_cast<const KernelEntry *>(symbol);
    if (!same_parameters(*entry, in_ptx->second)) return CUDA_ERROR_INVALID_IMAGE;
    static std::mutex lock;
    std::lock_guard<std::mutex> guard(lock);
    module->functions.push_back(std::make_unique<CUfunc_st>());
    *function = functions().add(module->functions.back().get());
    (*function)->module = module;
    (*function)->entry = entry;
    return CUDA_SUCCESS;
}
