//! Work that is recorded once and given to the device as a whole from then on: CUDA graphs.
//!
//! The forward and backward pass of a small batch are hundreds of kernels of a few microseconds each, and to launch one takes
//! the processor as long. A recorded pass is launched by one call. It reads and writes the same memory each time, so whoever
//! records writes the input into a tensor of his own before, and copies what he wants to keep into such tensors at the end.
//!
//! What else changes from pass to pass is known here: the targets of losses and the keys of dropout masks. While a pass is
//! recorded, [`targets`] and [`key`] give the kernels places in memory in their stead, which [`Recording::run`] fills. Nothing
//! else may come from the host: a recording with such a copy in it is refused, and so is one that keeps memory, or gives
//! back what it did not take.

use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;

use candle_core::cuda::cudarc::driver::{CudaGraph, CudaStream, result, sys};
use candle_core::{Device, Error, Result, Tensor};

use super::array::{Array, Buffer, Located};
use super::elementwise;
use super::gpu::{Gpu, failed};
use super::items::{self, Item};

/// Keys of dropout masks that one recording has room for.
const MOST_KEYS: usize = 64;
/// Words of the places for keys, which come before those of the targets.
const KEY_WORDS: usize = 2 * MOST_KEYS;

/// A recorded pass.
pub struct Recording {
    graph: Option<CudaGraph>,
    gpu: Rc<Gpu>,
    places: Rc<Places>,
    keys: usize,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording")
            .field("keys", &self.keys)
            .field("targets", &self.places.targets)
            .finish_non_exhaustive()
    }
}

/// Where a recorded pass finds keys and targets.
pub(super) struct Places {
    memory: Buffer<u32>,
    /// Words.
    targets: usize,
}

/// What is being recorded on this thread.
struct Active {
    places: Rc<Places>,
    targets: Vec<u32>,
    keys: Vec<u64>,
}

thread_local! {
    static ACTIVE: RefCell<Option<Active>> = const { RefCell::new(None) };
}

/// Records what `work` does on the device, without doing it: a pass on `targets`, the labels or the bits of the numbers that
/// its losses compare with, 32 bits each. Everything must have been done once before, so that nothing has to be
/// loaded or chosen. Returns the recording and the keys of its dropout masks, each once, in the order of their first use.
///
/// All tensors that `work` makes must be gone when it ends. An error if the device can't record, or if `work` does what can't be
/// repeated; whatever was recorded is gone then.
pub fn record<E: From<Error>>(
    device: &Device,
    targets: &[u32],
    work: impl FnOnce() -> std::result::Result<(), E>,
) -> std::result::Result<(Recording, Vec<u64>), E> {
    let gpu = Gpu::open(device.as_cuda_device()?)?;
    let places = Rc::new(Places {
        memory: gpu.buffer(KEY_WORDS + targets.len())?,
        targets: targets.len(),
    });
    let active = Active {
        places: Rc::clone(&places),
        targets: targets.to_vec(),
        keys: Vec::new(),
    };
    let capture = Capture::begin(gpu.stream(), active)?;
    let worked = work();
    let (graph, active) = capture.end();
    worked?;
    let graph = graph?;
    check(&graph)?;
    let recording = Recording {
        graph: Some(graph),
        gpu,
        places,
        keys: active.keys.len(),
    };
    Ok((recording, active.keys))
}

/// A stream that records; it stops even when the work panics.
struct Capture<'s> {
    stream: &'s std::sync::Arc<CudaStream>,
}

impl<'s> Capture<'s> {
    fn begin(stream: &'s std::sync::Arc<CudaStream>, active: Active) -> Result<Self> {
        if ACTIVE.with_borrow(Option::is_some) {
            return Err(Error::Msg("a recording within a recording".to_owned()));
        }
        // Other threads may go on with what they do.
        stream
            .begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(|error| failed("cuStreamBeginCapture", error))?;
        ACTIVE.set(Some(active));
        Ok(Self { stream })
    }

    fn end(self) -> (Result<CudaGraph>, Active) {
        let active = ACTIVE.take().expect("it was set when the recording began");
        let graph = self.finish();
        std::mem::forget(self);
        (graph, active)
    }

    fn finish(&self) -> Result<CudaGraph> {
        let flags = sys::CUgraphInstantiate_flags(0);
        // Errors of memory that was given back while nothing could be recorded any more: there is nothing to give back. Such an error
        // would keep the recording from being ended.
        let _ = self.stream.context().check_err();
        let graph = self.stream.end_capture(flags);
        let _ = self.stream.context().check_err();
        graph
            .map_err(|error| failed("cuStreamEndCapture", error))?
            .ok_or_else(|| Error::Msg("nothing was recorded".to_owned()))
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        ACTIVE.set(None);
        let _ = self.finish();
    }
}

/// Fails if a graph does what is not the same each time.
fn check(graph: &CudaGraph) -> Result<()> {
    let refused = |why: &str| Err(Error::Msg(format!("a pass can't be recorded: {why}")));
    let (mut taken, mut given) = (0usize, 0usize);
    for node in nodes(graph.cu_graph())? {
        use sys::CUgraphNodeType_enum as Type;
        match node_type(node)? {
            Type::CU_GRAPH_NODE_TYPE_KERNEL
            | Type::CU_GRAPH_NODE_TYPE_MEMSET
            | Type::CU_GRAPH_NODE_TYPE_EMPTY => {}
            Type::CU_GRAPH_NODE_TYPE_MEM_ALLOC => taken += 1,
            Type::CU_GRAPH_NODE_TYPE_MEM_FREE => given += 1,
            Type::CU_GRAPH_NODE_TYPE_MEMCPY if !touches_host(node)? => {}
            Type::CU_GRAPH_NODE_TYPE_MEMCPY => return refused("it copies from or to the host"),
            other => return refused(&format!("it has a node of the kind {other:?}")),
        }
    }
    if taken != given {
        return refused(&format!(
            "it takes memory {taken} times and gives it back {given} times"
        ));
    }
    Ok(())
}

fn nodes(graph: sys::CUgraph) -> Result<Vec<sys::CUgraphNode>> {
    let get = |nodes: *mut sys::CUgraphNode, count: &mut usize| {
        // SAFETY: the graph is alive, and there is room for so many nodes, or none are asked for.
        unsafe { sys::cuGraphGetNodes(graph, nodes, count) }
            .result()
            .map_err(|error| failed("cuGraphGetNodes", error))
    };
    let mut count = 0;
    get(ptr::null_mut(), &mut count)?;
    let mut nodes = vec![ptr::null_mut(); count];
    if count > 0 {
        get(nodes.as_mut_ptr(), &mut count)?;
    }
    nodes.truncate(count);
    Ok(nodes)
}

fn node_type(node: sys::CUgraphNode) -> Result<sys::CUgraphNodeType> {
    let mut found = sys::CUgraphNodeType_enum::CU_GRAPH_NODE_TYPE_EMPTY;
    // SAFETY: the node is that of a graph which is alive.
    unsafe { sys::cuGraphNodeGetType(node, &raw mut found) }
        .result()
        .map_err(|error| failed("cuGraphNodeGetType", error))?;
    Ok(found)
}

fn touches_host(node: sys::CUgraphNode) -> Result<bool> {
    // SAFETY: it is plain numbers and pointers; 0 is no kind of memory, and so the kinds are not looked at before they are set.
    let mut copy = std::mem::MaybeUninit::<sys::CUDA_MEMCPY3D>::zeroed();
    // SAFETY: the node is a copy of a graph which is alive.
    unsafe { sys::cuGraphMemcpyNodeGetParams(node, copy.as_mut_ptr()) }
        .result()
        .map_err(|error| failed("cuGraphMemcpyNodeGetParams", error))?;
    // SAFETY: the call filled it.
    let copy = unsafe { copy.assume_init() };
    let host = sys::CUmemorytype_enum::CU_MEMORYTYPE_HOST;
    Ok(copy.srcMemoryType == host || copy.dstMemoryType == host)
}

impl Recording {
    /// Does it all again, with these targets and keys, which must be as many as were recorded.
    pub fn run(&self, targets: &[u32], keys: &[u64]) -> Result<()> {
        if targets.len() != self.places.targets || keys.len() != self.keys {
            return Err(Error::Msg(format!(
                "a pass was recorded with {} targets and {} keys, and is to run with {} and {}",
                self.places.targets,
                self.keys,
                targets.len(),
                keys.len()
            )));
        }
        let mut words = vec![0; KEY_WORDS + targets.len()];
        for (place, key) in words.chunks_exact_mut(2).zip(keys) {
            place.copy_from_slice(&[*key as u32, (key >> 32) as u32]);
        }
        words[KEY_WORDS..].copy_from_slice(targets);
        let stream = self.gpu.stream();
        let (to, stream) = (self.places.memory.address(), stream.cu_stream());
        // SAFETY: there is room for so many words; memory of the host that is not locked has been read when the call returns.
        unsafe { result::memcpy_htod_async(to, &words, stream) }
            .map_err(|error| failed("cuMemcpyHtoDAsync", error))?;
        self.graph
            .as_ref()
            .map_or(Ok(()), CudaGraph::launch)
            .map_err(|error| failed("cuGraphLaunch", error))
    }
}

impl Drop for Recording {
    /// Gives its memory back to the device.
    fn drop(&mut self) {
        let _ = self.gpu.stream().synchronize();
        self.graph = None;
        // SAFETY: the device is open.
        unsafe {
            let _ = sys::cuDeviceGraphMemTrim(self.gpu.stream().context().cu_device());
        }
    }
}

/// Whether a recording is under way on this thread.
pub(super) fn is_active() -> bool {
    ACTIVE.with_borrow(Option::is_some)
}

/// Targets on the device.
pub(super) enum Targets {
    Uploaded(Buffer<u32>),
    Recorded(Rc<Places>),
}

impl Located for Targets {
    fn address(&self) -> u64 {
        match self {
            Self::Uploaded(buffer) => buffer.address(),
            Self::Recorded(places) => {
                places.memory.address() + (KEY_WORDS * size_of::<u32>()) as u64
            }
        }
    }
}

/// The targets of a loss as the device sees them.
pub(super) fn targets(gpu: &Gpu, words: &[u32]) -> Result<Targets> {
    ACTIVE.with_borrow(|active| match active {
        None => gpu.upload(words).map(Targets::Uploaded),
        Some(active) if active.targets == words => Ok(Targets::Recorded(Rc::clone(&active.places))),
        Some(_) => Err(Error::Msg(
            "a pass can't be recorded: its losses have different targets".to_owned(),
        )),
    })
}

/// Where a recorded pass finds this key of a dropout mask; 0 where nothing is recorded.
pub(super) fn key(key: u64) -> Result<u64> {
    ACTIVE.with_borrow_mut(|active| {
        let Some(active) = active else { return Ok(0) };
        let found = active.keys.iter().position(|known| *known == key);
        let place = found.unwrap_or(active.keys.len());
        if place == MOST_KEYS {
            return Err(Error::Msg(format!(
                "a pass can't be recorded: it has more than {MOST_KEYS} dropout masks"
            )));
        }
        if found.is_none() {
            active.keys.push(key);
        }
        Ok(active.places.memory.address() + (place * size_of::<u64>()) as u64)
    })
}

/// Writes the values of each second tensor, f32, into the first, which is contiguous and as large: all in a few launches.
pub fn copy_all(pairs: &[(&Tensor, &Tensor)]) -> Result<()> {
    const OP: &str = "copy";
    let Some((first, _)) = pairs.first() else {
        return Ok(());
    };
    let gpu = Gpu::of(OP, &[first])?;
    let mut all = Vec::with_capacity(pairs.len());
    for (to, from) in pairs {
        Gpu::of(OP, &[first, to, from])?;
        all.push(Item::plain(pair(OP, &gpu, to, from)?.into()));
    }
    items::run(&gpu, "copy_items", &all)
}

/// Writes the values of a tensor into another, which is contiguous, as large and of the same kind of numbers.
pub fn copy(to: &Tensor, from: &Tensor) -> Result<()> {
    const OP: &str = "copy";
    let gpu = Gpu::of(OP, &[to, from])?;
    let [to, from] = pair(OP, &gpu, to, from)?;
    elementwise::copy(&gpu, &to, &from)
}

fn pair(op: &str, gpu: &Gpu, to: &Tensor, from: &Tensor) -> Result<[Array; 2]> {
    crate::check::shape(op, "the source", to.dims(), from)?;
    let to = Array::of_changed(op, gpu, to)?;
    let from = Array::of(op, gpu, from)?;
    from.must_be(op, to.kind())?;
    Ok([to, from])
}
