//! Pictures that are kept in a GPU's memory, and inputs of networks that are made of them there, with the bits of the CPU's way.

mod view;

use candle_core::cuda::cudarc::driver::{CudaSlice, DevicePtr, result::DriverError, sys};
use candle_core::{CudaDevice, DType, Device, Error, Result, Tensor};

use super::array::{Array, Buffer, Kind, Located};
use super::gpu::{Gpu, failed};
use super::launch::{BLOCK, Launch};

use view::{Kept, Upload};
pub use view::{PictureFilter, PicturePixels, PictureView};

/// Bytes of device memory that are asked for at once.
const SLAB: usize = 32 << 20;
/// Where pictures begin: at multiples of this.
const ALIGNMENT: usize = 128;
/// Bytes that one thread makes.
const EACH: usize = 4;
/// The most rows of blocks that a launch may have.
const MOST_ROWS: usize = 65_535;

/// A picture of a [`PictureStore`], known by its number: 0 is the one that was added first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PictureId(pub usize);

/// Pictures in the memory of a CUDA device.
pub struct PictureStore {
    device: CudaDevice,
    slabs: Vec<CudaSlice<u8>>,
    /// Bytes of the last slab that are taken.
    filled: usize,
    pictures: Vec<Kept>,
    capacity: usize,
    used: usize,
}

impl std::fmt::Debug for PictureStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureStore")
            .field("pictures", &self.pictures.len())
            .field("used", &self.used)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl PictureStore {
    /// An empty store that takes at most `capacity` bytes of the device's memory, a piece at a time.
    ///
    /// An error if it is no CUDA device.
    pub fn new(device: &Device, capacity: usize) -> Result<Self> {
        Ok(Self {
            device: cuda(device)?.clone(),
            slabs: Vec::new(),
            filled: 0,
            pictures: Vec::new(),
            capacity,
            used: 0,
        })
    }

    /// Bytes of the device's memory that are taken.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Copies a picture (height, width, 3) to the device; `None` if there is no more room for it.
    ///
    /// An error if the bytes are no picture of this width, or the copy fails.
    pub fn add(&mut self, rgb: &[u8], width: usize) -> Result<Option<PictureId>> {
        let pixels = rgb.len() / 3;
        if width == 0
            || !rgb.len().is_multiple_of(3)
            || pixels == 0
            || !pixels.is_multiple_of(width)
        {
            let n = rgb.len();
            return Err(Error::Msg(format!(
                "pictures on a GPU: {n} bytes are no picture that is {width} pixels wide"
            )));
        }
        let start = self.filled.next_multiple_of(ALIGNMENT);
        let (slab, start) = match self.slabs.pop() {
            Some(slab) if start + rgb.len() <= slab.len() => (slab, start),
            last => {
                self.slabs.extend(last);
                match self.slab(rgb.len())? {
                    Some(slab) => (slab, 0),
                    None => return Ok(None),
                }
            }
        };
        self.slabs.push(slab);
        let Some(slab) = self.slabs.last_mut() else {
            return Ok(None);
        };
        let end = start + rgb.len();
        self.device
            .memcpy_htod(rgb, &mut slab.slice_mut(start..end))?;
        let (address, _) = slab.device_ptr(slab.stream());
        self.filled = end;
        self.pictures.push(Kept {
            address: address + start as u64,
            width,
            height: pixels / width,
        });
        Ok(Some(PictureId(self.pictures.len() - 1)))
    }

    /// New memory for at least so many bytes, if that is within the capacity and the device has it.
    fn slab(&mut self, bytes: usize) -> Result<Option<CudaSlice<u8>>> {
        let left = self.capacity - self.used;
        let bytes = bytes.max(SLAB.min(left));
        if bytes > left {
            return Ok(None);
        }
        // SAFETY: nothing is read of it but pictures that were copied there before.
        match unsafe { self.device.cuda_stream().alloc::<u8>(bytes) } {
            Ok(slab) => {
                self.used += bytes;
                Ok(Some(slab))
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(None),
            Err(error) => Err(failed("memory for pictures", error)),
        }
    }

    /// Makes inputs (n, size, size, 3), f32 or bf16, of pictures. `values`, (3, 256) on the store's device, has what every byte
    /// of red, green and blue becomes.
    ///
    /// An error if a view does not fit its picture or the input, or the tensor is another one.
    pub fn render(
        &self,
        views: &[PictureView],
        values: &Tensor,
        size: usize,
        dtype: DType,
    ) -> Result<Tensor> {
        let op = "pictures on a GPU";
        let gpu = Gpu::of(op, &[values])?;
        let values = Array::of_f32(op, &gpu, values)?;
        if values.tensor().dims() != [3, 256] || gpu.device().id() != self.device.id() {
            return Err(Error::Msg(format!(
                "{op}: what bytes become must be of shape (3, 256), on the device of the pictures"
            )));
        }
        let kind = match dtype {
            DType::F32 => Kind::F32,
            DType::BF16 => Kind::Bf16,
            _ => return Err(Error::Msg(format!("{op}: inputs can't be {dtype:?}"))),
        };
        let inputs = Array::new(&gpu, (views.len(), size, size, 3), kind)?;
        if views.is_empty() || size == 0 {
            return Ok(inputs.into_tensor());
        }
        let mut upload = Upload::default();
        for view in views {
            upload.add(view, size, |id| self.pictures.get(id.0).copied())?;
        }
        let between = gpu.buffer::<u8>(upload.between_len)?;
        let mut block = gpu.allocate::<u8>(upload.len())?;
        let (address, _) = block.device_ptr(gpu.stream());
        let bytes = upload.write(address, between.address());
        self.device.memcpy_htod(&bytes, &mut block)?;
        let block = Buffer::new(block, gpu.stream());
        let rows = |bytes: usize| bytes.div_ceil(BLOCK * EACH).clamp(1, MOST_ROWS);
        if upload.between_len > 0 {
            Launch::new(&gpu, "picture_between")
                .at(&block)
                .at(&between)
                .grid([views.len(), rows(upload.longest_between()), 1], [BLOCK, 1])?;
        }
        Launch::of(&gpu, "picture_inputs", kind)
            .at(&block)
            .at(&values)
            .at(&inputs)
            .int(size as i32)
            .grid([views.len(), rows(3 * size * size), 1], [BLOCK, 1])?;
        Ok(inputs.into_tensor())
    }
}

/// Bytes of a CUDA device's memory that nobody has.
///
/// An error if it is no CUDA device, or its driver does not tell.
pub fn free_memory(device: &Device) -> Result<usize> {
    let stream = cuda(device)?.cuda_stream();
    let (free, _) = (stream.context().mem_get_info())
        .map_err(|error| failed("asking for the free memory", error))?;
    Ok(free)
}

fn cuda(device: &Device) -> Result<&CudaDevice> {
    match device {
        Device::Cuda(device) => Ok(device),
        _ => Err(Error::Msg(
            "pictures on a GPU: a CUDA device is expected".into(),
        )),
    }
}
