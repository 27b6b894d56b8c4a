"""How much of a GPU's memory is taken."""
import ctypes
import threading
import time

EVERY = 0.1
LIBRARIES = ["libnvidia-ml.so.1", "/usr/local/nvidia/lib64/libnvidia-ml.so.1", "/usr/local/nvidia/lib/libnvidia-ml.so.1"]


class Info(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Memory:
    """Memory in use on the first GPU, by all processes, looked at ten times a second. Without NVIDIA's management
    library nothing is known, and everything is None."""

    def __init__(self):
        self.samples, self.over = [], threading.Event()
        self.library, self.device = opened()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        if self.library:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        if self.library:
            self.thread.join()

    def watch(self):
        while not self.over.wait(EVERY):
            used = self.now()
            if used is not None:
                self.samples.append((time.monotonic(), used))

    def now(self):
        """Bytes in use."""
        info = Info()
        if not self.library or self.library.nvmlDeviceGetMemoryInfo(self.device, ctypes.byref(info)):
            return None
        return info.used

    def peak(self, since):
        """The most bytes in use since a time of `time.monotonic()`."""
        return max((used for moment, used in list(self.samples) if moment >= since), default=None)


def opened():
    """The management library and the first GPU, or nothing twice."""
    for name in LIBRARIES:
        try:
            library, device = ctypes.CDLL(name), ctypes.c_void_p()
            if library.nvmlInit_v2() == 0 and library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)) == 0:
                return library, device
        except (OSError, AttributeError):
            pass
    return None, None
