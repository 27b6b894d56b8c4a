//! From the gradient of the result to those of the inputs.

use std::cell::Cell;

use candle_core::{Device, Result, Shape, Tensor, TensorId};

use super::rows::Terms;
use super::slopes::{self, Slopes};
use super::{Affine, After, Channel, Size, forward};
use crate::activation::Activation;
use crate::activation::curves::with_curve;
use crate::kernel::{InPlace, Kernel, change1, change2, cpu_only, run2};
use crate::output::uninit_chunks;
use crate::parallel::{SharedMut, for_each_chunk};
use crate::tape::{Grad, Gradients, Tape};

/// What the backward pass has to know of the forward pass, beside its tensors.
pub(super) struct Backward {
    pub(super) size: Size,
    pub(super) channels: Vec<Channel>,
    pub(super) terms: Terms,
    /// Whether mean and variance depend on the input.
    pub(super) batch: bool,
}

/// Where gradients have to go.
#[derive(Clone, Copy)]
pub(super) struct Targets {
    pub(super) x: Option<TensorId>,
    pub(super) weight: Option<TensorId>,
    pub(super) bias: Option<TensorId>,
}

impl Targets {
    pub(super) fn of(tape: &Tape, x: &Tensor, affine: &Affine) -> Self {
        Self {
            x: tape.target(x),
            weight: tape.target(affine.weight),
            bias: tape.target(affine.bias),
        }
    }

    pub(super) fn any(&self) -> bool {
        self.x.is_some() || self.affine()
    }

    fn affine(&self) -> bool {
        self.weight.is_some() || self.bias.is_some()
    }
}

/// Sums of the gradient, and of its product with x − mean, by channel.
pub(super) type Sums = Vec<(f64, f64)>;

impl Backward {
    /// What comes before the pool, if there is one, with its backward pass on the tape.
    pub(super) fn unpooled(
        self,
        tape: &Tape,
        x: &Tensor,
        affine: &Affine,
        after: After,
    ) -> Result<Tensor> {
        let y = forward::normalised(x, &self.size, &self.terms, after)?;
        self.record(tape, x, affine, after, &y);
        Ok(y)
    }

    /// Notes on the tape how gradients go back from `y`.
    fn record(self, tape: &Tape, x: &Tensor, affine: &Affine, after: After, y: &Tensor) {
        let targets = Targets::of(tape, x, affine);
        // After a sum the rectifier's argument can't be told from x alone, so the result is kept.
        let (to_other, activation, result) = match after {
            After::Activation(activation) => (None, activation, None),
            After::AddRelu(other) => (tape.target(other), None, Some(y.clone())),
        };
        if !targets.any() && to_other.is_none() {
            return;
        }
        let with_sums = targets.affine() || (self.batch && targets.x.is_some());
        let x = x.clone();
        tape.record(y, move |grad: Grad, grads: &mut Gradients| {
            let dy = grad.into_owned_tensor()?;
            // With `result` the gradient is now that of the sum; otherwise it has yet to pass the activation, if any.
            let sums = match &result {
                Some(result) => self.masked_sums(&dy, result, &x)?,
                None if with_sums => self.sums(&dy, &x, activation)?,
                None => vec![(0.0, 0.0); self.size.c],
            };
            self.give_affine(grads, &targets, &sums, x.device())?;
            match (targets.x, to_other) {
                (Some(to_x), Some(to_other)) => {
                    let dx = self.input_gradient(&dy, &x, &sums)?;
                    grads.give(to_other, dy)?;
                    grads.give(to_x, dx)
                }
                (Some(to_x), None) => {
                    self.become_input_gradient(&dy, &x, &sums, activation)?;
                    grads.give(to_x, dy)
                }
                (None, Some(to_other)) => grads.give(to_other, dy),
                (None, None) => Ok(()),
            }
        });
    }

    /// Gives weight and bias their gradients.
    pub(super) fn give_affine(
        &self,
        grads: &mut Gradients,
        targets: &Targets,
        sums: &Sums,
        device: &Device,
    ) -> Result<()> {
        let vector = |value: &dyn Fn(usize) -> f64| {
            let values: Vec<f32> = (0..self.size.c).map(|c| value(c) as f32).collect();
            Tensor::from_vec(values, self.size.c, device)
        };
        if let Some(id) = targets.weight {
            grads.give(id, vector(&|c| sums[c].1 * self.channels[c].inv_std)?)?;
        }
        if let Some(id) = targets.bias {
            grads.give(id, vector(&|c| sums[c].0)?)?;
        }
        Ok(())
    }

    fn sums(&self, dy: &Tensor, x: &Tensor, activation: Option<Activation>) -> Result<Sums> {
        let kernel = Products {
            backward: self,
            activation,
            found: Cell::default(),
        };
        run2(&kernel, dy, x)?;
        Ok(kernel.found.take())
    }

    /// Takes `dy` past the rectifier, whose result was `y`, and sums.
    fn masked_sums(&self, dy: &Tensor, y: &Tensor, x: &Tensor) -> Result<Sums> {
        let kernel = MaskedProducts {
            backward: self,
            found: Cell::default(),
        };
        change2(&kernel, dy, y, x)?;
        Ok(kernel.found.take())
    }

    pub(super) fn slopes(&self, sums: &Sums) -> Slopes {
        // Of fixed statistics nothing comes back: their share of each value is 0.
        let n = if self.batch {
            self.size.count() as f64
        } else {
            f64::INFINITY
        };
        let rows = self.size.rows();
        Slopes {
            offsets: rows.row(|c| (sums[c].0 / n) as f32),
            slopes: rows.row(|c| (sums[c].1 / n * self.channels[c].inv_std.powi(2)) as f32),
        }
    }

    fn input_gradient(&self, dy: &Tensor, x: &Tensor, sums: &Sums) -> Result<Tensor> {
        let kernel = InputGradient {
            backward: self,
            slopes: self.slopes(sums),
            activation: None,
        };
        run2(&kernel, dy, x)
    }

    fn become_input_gradient(
        &self,
        dy: &Tensor,
        x: &Tensor,
        sums: &Sums,
        activation: Option<Activation>,
    ) -> Result<()> {
        let kernel = InputGradient {
            backward: self,
            slopes: self.slopes(sums),
            activation,
        };
        change1(&kernel, dy, x)
    }
}

struct Products<'a> {
    backward: &'a Backward,
    activation: Option<Activation>,
    found: Cell<Sums>,
}

impl Kernel<2> for Products<'_> {
    const NAME: &'static str = "batch norm's gradient";

    fn shape(&self) -> Shape {
        0.into()
    }

    fn cpu(&self, [dy, x]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let Backward { size, terms, .. } = self.backward;
        let activation = self.activation;
        let rows = size.rows();
        let sums = rows.sums(rows.pieces(), |sums, piece| {
            let (start, len) = rows.piece(piece);
            let (dy, x) = (&dy[start..][..len], &x[start..][..len]);
            with_curve!(activation, C => slopes::add_products::<C>(sums, dy, x, terms));
        });
        self.found.set(sums);
        Ok(Vec::new())
    }

    cpu_only!(kernel of 2);
}

struct MaskedProducts<'a> {
    backward: &'a Backward,
    found: Cell<Sums>,
}

impl InPlace<2> for MaskedProducts<'_> {
    const NAME: &'static str = "batch norm's gradient";

    fn cpu(&self, dy: &mut [f32], [y, x]: [&[f32]; 2]) -> Result<()> {
        let Backward { size, terms, .. } = self.backward;
        let dy = SharedMut::new(dy);
        let rows = size.rows();
        let sums = rows.sums(rows.pieces(), |sums, piece| {
            let (start, len) = rows.piece(piece);
            // SAFETY: the pieces are disjoint and each is visited once.
            let dy = unsafe { dy.slice(start, len) };
            let (y, x) = (&y[start..][..len], &x[start..][..len]);
            slopes::mask_and_add_products(sums, dy, y, x, terms);
        });
        self.found.set(sums);
        Ok(())
    }

    cpu_only!(in place of 2);
}

struct InputGradient<'a> {
    backward: &'a Backward,
    slopes: Slopes,
    activation: Option<Activation>,
}

impl Kernel<2> for InputGradient<'_> {
    const NAME: &'static str = "batch norm's gradient";

    fn shape(&self) -> Shape {
        self.backward.size.shape()
    }

    fn cpu(&self, [dy, x]: [&[f32]; 2]) -> Result<Vec<f32>> {
        let Backward { size, terms, .. } = self.backward;
        let piece = size.rows().piece;
        // SAFETY: `input_gradient` writes all of the chunk.
        Ok(unsafe {
            uninit_chunks(x.len(), piece, x.len(), |i, dx| {
                let (dy, x) = (&dy[i * piece..][..dx.len()], &x[i * piece..][..dx.len()]);
                slopes::input_gradient(dx, dy, x, terms, &self.slopes);
            })
        })
    }

    cpu_only!(kernel of 2);
}

impl InPlace<1> for InputGradient<'_> {
    const NAME: &'static str = "batch norm's gradient";

    fn cpu(&self, dy: &mut [f32], [x]: [&[f32]; 1]) -> Result<()> {
        let Backward { size, terms, .. } = self.backward;
        let piece = size.rows().piece;
        for_each_chunk(dy, piece, x.len(), |i, dy| {
            let x = &x[i * piece..][..dy.len()];
            with_curve!(self.activation, C => {
                slopes::input_gradient_in_place::<C>(dy, x, terms, &self.slopes);
            });
        });
        Ok(())
    }

    cpu_only!(in place of 1);
}
