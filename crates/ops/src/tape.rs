//! The record of a forward pass, and the walk back over it.
//!
//! Reverse-mode differentiation as in `torch.autograd`: an operation with an input that needs a gradient leaves a
//! closure on the tape, which turns the gradient of its result into those of its inputs. Unlike candle's backward
//! pass this one computes no gradient that nobody asked for, starts no sum from zeros, and lets go of every saved
//! activation as soon as it has been used.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use candle_core::{DType, Result, Shape, Tensor, TensorId};

use crate::check::{self, invalid};
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Gpu, elementwise, optimizer};
use crate::kernel::{InPlace, Kernel, change0, change1, copied, cpu_only, dense, run1};
use crate::linear::Outer;
use crate::parallel::for_each_chunk;
use crate::reduce::sum_of_squares;

/// What one operation does in the backward pass: from the gradient of its result to those of its inputs.
type Backward = Box<dyn FnOnce(Grad, &mut Gradients) -> Result<()>>;

struct Node {
    output: TensorId,
    backward: Backward,
}

#[derive(Default)]
struct Recording {
    tracked: HashSet<TensorId>,
    nodes: Vec<Node>,
}

/// The operations of one forward pass, or nothing where no gradient is wanted.
pub struct Tape {
    recording: Option<RefCell<Recording>>,
}

impl Tape {
    /// A tape that records, for training.
    pub fn recording() -> Self {
        Self {
            recording: Some(RefCell::default()),
        }
    }

    /// A tape that records nothing, for evaluation. No operation keeps anything alive for it.
    pub fn disabled() -> Self {
        Self { recording: None }
    }

    /// Whether this tape records.
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// Whether a gradient has to reach `t`: it is a variable, or the result of a recorded operation on one.
    /// Always false on a tape that does not record.
    pub fn needs_grad(&self, t: &Tensor) -> bool {
        self.recording
            .as_ref()
            .is_some_and(|r| t.is_variable() || r.borrow().tracked.contains(&t.id()))
    }

    /// The id of `t` if a gradient has to reach it.
    pub(crate) fn target(&self, t: &Tensor) -> Option<TensorId> {
        self.needs_grad(t).then(|| t.id())
    }

    /// Notes how the gradient of `output` becomes that of the operation's inputs. To be called by operations of
    /// which at least one input needs a gradient, and with an output that no other operation has recorded.
    pub(crate) fn record(
        &self,
        output: &Tensor,
        backward: impl FnOnce(Grad, &mut Gradients) -> Result<()> + 'static,
    ) {
        if let Some(recording) = &self.recording {
            let mut recording = recording.borrow_mut();
            recording.tracked.insert(output.id());
            recording.nodes.push(Node {
                output: output.id(),
                backward: Box::new(backward),
            });
        }
    }

    /// The gradients of `loss`, a tensor of one element, with respect to the variables it was computed from.
    /// Gradients of intermediate results are not kept.
    ///
    /// An error if the tape does not record, if `loss` has more than one element, or if it depends on no variable.
    pub fn backward(self, loss: &Tensor) -> Result<Gradients> {
        if loss.elem_count() != 1 {
            return Err(invalid(
                "backward",
                format_args!(
                    "the loss must be a single number, found a tensor of shape {:?}",
                    loss.dims()
                ),
            ));
        }
        let one = ones_like(loss)?;
        self.backward_from(loss, &one)
    }

    /// The gradients with respect to the variables that `output` was computed from, given the gradient of some loss
    /// with respect to `output`, which has its shape. As `output.backward(gradient)` in `torch`.
    pub fn backward_from(self, output: &Tensor, gradient: &Tensor) -> Result<Gradients> {
        const OP: &str = "backward";
        if !self.is_recording() {
            return Err(invalid(
                OP,
                format_args!(
                    "the tape is disabled, so nothing was recorded; make it with Tape::recording()"
                ),
            ));
        }
        if !self.needs_grad(output) {
            return Err(invalid(
                OP,
                format_args!("the loss depends on no variable through the operations of this tape"),
            ));
        }
        check::shape(OP, "the gradient", output.dims(), gradient)?;
        let mut nodes = self
            .recording
            .map_or_else(Vec::new, |recording| recording.into_inner().nodes);
        let mut gradients = Gradients::default();
        // The caller may still hold the tensor; and gradients are added up in place, so they have to be dense.
        let gradient = dense(&gradient.detach())?;
        gradients.add(output.id(), Grad::shared(gradient))?;
        while let Some(node) = nodes.pop() {
            if let Some(grad) = gradients.grads.remove(&node.output) {
                (node.backward)(grad, &mut gradients)?;
            }
        }
        Ok(gradients)
    }
}

/// The gradient of a loss with respect to itself.
fn ones_like(loss: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if crate::cuda::has(loss) {
        return elementwise::filled(loss, loss.shape(), 1.0);
    }
    Tensor::ones(loss.shape(), DType::F32, loss.device())
}

/// The gradients that a backward pass found, by tensor.
#[derive(Default)]
pub struct Gradients {
    grads: HashMap<TensorId, Grad>,
}

impl Gradients {
    /// Gradients from elsewhere: those of each first tensor, which nobody else may see.
    pub fn of(all: impl IntoIterator<Item = (TensorId, Tensor)>) -> Self {
        let owned = |(id, tensor)| (id, Grad::owned(tensor));
        Self {
            grads: all.into_iter().map(owned).collect(),
        }
    }

    /// The gradient with respect to the variable `t`, of its shape, or none if the loss does not depend on it.
    pub fn get(&self, t: &Tensor) -> Option<&Tensor> {
        self.grads.get(&t.id()).map(Grad::tensor)
    }

    /// Takes the gradient with respect to the variable `t` out, so that its memory can be given back early.
    pub fn take(&mut self, t: &Tensor) -> Option<Tensor> {
        let grad = self.grads.remove(&t.id())?;
        Some(grad.tensor().clone())
    }

    /// The sum of the squares of the gradient with respect to `t`; 0 if there is none.
    pub fn sum_of_squares(&self, t: &Tensor) -> Result<f64> {
        let Some(gradient) = self.get(t) else {
            return Ok(0.0);
        };
        let parts = run1(&Squares, gradient)?.to_vec1::<f32>()?;
        Ok(parts.into_iter().map(f64::from).sum())
    }

    /// Multiplies the gradients with respect to `parameters` with what brings the norm of all of them together down to `most`,
    /// as `torch.nn.utils.clip_grad_norm_`; where the norm is not larger they stay as they are. On CUDA devices nothing waits
    /// for the norm.
    pub fn clip_norm(&mut self, parameters: &[&Tensor], most: f64) -> Result<()> {
        let mut found = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            if let Some(grad) = self.grads.remove(&parameter.id()) {
                let tensor = grad.into_owned_tensor()?;
                self.give(parameter.id(), tensor.clone())?;
                found.push(tensor);
            }
        }
        #[cfg(feature = "cuda")]
        if found.iter().any(crate::cuda::has) {
            return optimizer::clip_norm(&found, most);
        }
        let mut squares = 0.0;
        for parameter in parameters {
            squares += self.sum_of_squares(parameter)?;
        }
        // The small number is PyTorch's.
        let scale = (most / (squares.sqrt() + 1e-6)).min(1.0) as f32;
        found
            .iter()
            .try_for_each(|gradient| change0(&Times(scale), gradient))
    }

    /// The factors of the gradient with respect to `t`, if it is kept as such.
    pub(crate) fn outer(&self, t: &Tensor) -> Option<&Outer> {
        self.grads.get(&t.id())?.outer.as_ref()
    }

    /// Adds a freshly computed gradient, whose memory nobody else sees, to what `id` has got so far.
    pub(crate) fn give(&mut self, id: TensorId, tensor: Tensor) -> Result<()> {
        self.add(id, Grad::owned(tensor))
    }

    /// Adds a gradient to what `id` has got so far.
    pub(crate) fn add(&mut self, id: TensorId, grad: Grad) -> Result<()> {
        let sum = match self.grads.remove(&id) {
            None => grad,
            Some(earlier) if earlier.owned => earlier.plus(&grad)?,
            Some(earlier) if grad.owned => grad.plus(&earlier)?,
            Some(earlier) => Grad::owned(earlier.into_owned_tensor()?).plus(&grad)?,
        };
        self.grads.insert(id, sum);
        Ok(())
    }
}

/// A gradient, and whether its memory belongs to it alone, so that it may be overwritten.
pub(crate) struct Grad {
    /// Of a gradient that is kept as factors only what somebody asked for.
    tensor: OnceCell<Tensor>,
    outer: Option<Outer>,
    owned: bool,
}

impl Grad {
    /// A freshly computed tensor, whose memory nobody else sees.
    pub(crate) fn owned(tensor: Tensor) -> Self {
        Self {
            tensor: tensor.into(),
            outer: None,
            owned: true,
        }
    }

    fn shared(tensor: Tensor) -> Self {
        Self {
            owned: false,
            ..Self::owned(tensor)
        }
    }

    /// Factors, whose product is nobody's until it is written out.
    pub(crate) fn product(outer: Outer) -> Self {
        Self {
            tensor: OnceCell::new(),
            outer: Some(outer),
            owned: true,
        }
    }

    /// The gradient's values.
    pub(crate) fn tensor(&self) -> &Tensor {
        self.tensor.get_or_init(|| {
            let outer = self
                .outer
                .as_ref()
                .expect("a gradient is a tensor or its factors");
            outer.dense().expect("the factors are matrices that fit")
        })
    }

    /// The gradient's values, which from now on are nowhere else.
    fn into_tensor(self) -> Tensor {
        self.tensor();
        self.tensor.into_inner().expect("it was just written out")
    }

    /// The same values for two receivers, neither of which may overwrite them.
    pub(crate) fn split(self) -> (Self, Self) {
        let tensor = self.into_tensor();
        (Self::shared(tensor.clone()), Self::shared(tensor))
    }

    /// The same memory seen in another shape.
    pub(crate) fn reshape(self, shape: &[usize]) -> Result<Self> {
        let owned = self.owned;
        let tensor = self.into_tensor().reshape(shape)?;
        Ok(Self {
            owned,
            ..Self::shared(tensor)
        })
    }

    /// A tensor that may be overwritten: the gradient itself where nobody else sees it, else a copy.
    pub(crate) fn into_owned_tensor(self) -> Result<Tensor> {
        if self.owned {
            Ok(self.into_tensor())
        } else {
            copied(&self.into_tensor())
        }
    }

    fn plus(self, other: &Self) -> Result<Self> {
        let sum = Self::owned(self.into_tensor());
        change1(&AddAssign, sum.tensor(), other.tensor())?;
        Ok(sum)
    }
}

struct AddAssign;

impl InPlace<1> for AddAssign {
    const NAME: &'static str = "sum of gradients";

    fn cpu(&self, target: &mut [f32], [other]: [&[f32]; 1]) -> Result<()> {
        const CHUNK: usize = 1 << 14;
        let work = target.len();
        for_each_chunk(target, CHUNK, work, |i, chunk| {
            crate::simd::add_assign(chunk, &other[i * CHUNK..][..chunk.len()]);
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, target: &Array, [other]: [&Array; 1]) -> Result<()> {
        elementwise::add(gpu, target, other, target)
    }
}

/// Multiplies with a number.
struct Times(f32);

impl InPlace<0> for Times {
    const NAME: &'static str = "clipping of a gradient";

    fn cpu(&self, target: &mut [f32], []: [&[f32]; 0]) -> Result<()> {
        for value in target {
            *value *= self.0;
        }
        Ok(())
    }

    cpu_only!(in place of 0);
}

/// The sum of the squares, as a float and what that lacks of it.
struct Squares;

impl Kernel<1> for Squares {
    const NAME: &'static str = "norm of a gradient";

    fn shape(&self) -> Shape {
        2.into()
    }

    fn cpu(&self, [gradient]: [&[f32]; 1]) -> Result<Vec<f32>> {
        let sum = sum_of_squares(gradient);
        let rounded = sum as f32;
        Ok(vec![rounded, (sum - f64::from(rounded)) as f32])
    }

    #[cfg(feature = "cuda")]
    fn cuda(&self, gpu: &Gpu, [gradient]: [&Array; 1]) -> Result<Array> {
        optimizer::sum_of_squares(gpu, gradient)
    }
}
