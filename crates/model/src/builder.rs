//! Builds layers under dotted names, as torchvision's modules are named.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use candle_core::{Device, Result, Var};

use crate::{
    init::{Init, Initial},
    parameter::{Buffer, Kind, Parameter, Part},
};

/// Makes parameters and buffers and keeps a list of them in the order in which they are made.
///
/// `builder.scope("layer1").scope("0")` names what is made below it `layer1.0.…`.
#[derive(Clone)]
pub struct Builder {
    shared: Rc<Shared>,
    path: String,
    part: Part,
    /// Whether what is made is left out of the network: only its name is kept.
    left_out: bool,
}

struct Shared {
    device: Device,
    init: Init,
    /// Whether the backbone's initial values are drawn; not, when they are loaded right after.
    draw_backbone: bool,
    parameters: RefCell<Vec<Arc<Parameter>>>,
    buffers: RefCell<Vec<Arc<Buffer>>>,
    /// Names of tensors behind the layer at which the network is cut.
    left_out: RefCell<Vec<String>>,
    dropouts: Cell<u64>,
}

impl Builder {
    pub(crate) fn new(init: Init, device: &Device, draw_backbone: bool) -> Self {
        let shared = Shared {
            device: device.clone(),
            init,
            draw_backbone,
            parameters: RefCell::default(),
            buffers: RefCell::default(),
            left_out: RefCell::default(),
            dropouts: Cell::new(0),
        };
        Self {
            shared: Rc::new(shared),
            path: String::new(),
            part: Part::Backbone,
            left_out: false,
        }
    }

    /// The builder of the module `name` inside this one.
    #[must_use]
    pub fn scope(&self, name: impl std::fmt::Display) -> Self {
        Self {
            path: self.join(&name.to_string()),
            ..self.clone()
        }
    }

    /// The same scope, for layers of the head.
    #[must_use]
    pub fn head(&self) -> Self {
        Self {
            part: Part::Head,
            ..self.clone()
        }
    }

    /// The builder without a scope.
    #[must_use]
    pub fn root(&self) -> Self {
        Self {
            path: String::new(),
            ..self.clone()
        }
    }

    /// The same scope, for layers that do not become part of the network.
    pub(crate) fn leaving_out(&self) -> Self {
        Self {
            left_out: true,
            ..self.clone()
        }
    }

    /// Where tensors are made.
    pub(crate) fn device(&self) -> &Device {
        &self.shared.device
    }

    /// The dotted name of this scope.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A parameter that starts from `initial`, or from `fresh` when it belongs to the new head of a pretrained
    /// network.
    pub fn parameter(
        &self,
        name: &str,
        shape: &[usize],
        kind: Kind,
        initial: Initial,
        fresh: Initial,
    ) -> Result<Arc<Parameter>> {
        let name = self.join(name);
        let draws = !self.left_out && (self.shared.draw_backbone || self.part == Part::Head);
        let initial = if draws {
            initial
        } else {
            Initial::Constant(0.0)
        };
        let values = initial.draw(shape.iter().product(), &name, self.shared.init);
        let var = Var::from_vec(values, shape, &self.shared.device)?;
        let parameter = Arc::new(Parameter::new(name, var, self.part, kind, fresh));
        if self.left_out {
            self.leave_out(&parameter.name);
        } else {
            let mut parameters = self.shared.parameters.borrow_mut();
            parameters.push(Arc::clone(&parameter));
        }
        Ok(parameter)
    }

    /// A buffer filled with `value`.
    pub fn buffer(&self, name: &str, shape: &[usize], value: f32) -> Result<Arc<Buffer>> {
        let count = shape.iter().product();
        let var = Var::from_vec(vec![value; count], shape, &self.shared.device)?;
        let buffer = Arc::new(Buffer::new(self.join(name), var, self.part));
        if self.left_out {
            self.leave_out(&buffer.name);
        } else {
            self.shared.buffers.borrow_mut().push(Arc::clone(&buffer));
        }
        Ok(buffer)
    }

    fn leave_out(&self, name: &str) {
        self.shared.left_out.borrow_mut().push(name.to_owned());
    }

    /// How many parameters and buffers there are.
    pub(crate) fn made(&self) -> (usize, usize) {
        let (parameters, buffers) = (&self.shared.parameters, &self.shared.buffers);
        (parameters.borrow().len(), buffers.borrow().len())
    }

    /// The names of the parameters and buffers made since there were `before`.
    pub(crate) fn names_since(&self, before: (usize, usize)) -> Vec<String> {
        let (parameters, buffers) = (&self.shared.parameters, &self.shared.buffers);
        let (parameters, buffers) = (parameters.borrow(), buffers.borrow());
        let parameters = parameters[before.0..].iter().map(|made| made.name.clone());
        let buffers = buffers[before.1..].iter().map(|made| made.name.clone());
        parameters.chain(buffers).collect()
    }

    /// The names of what was left out so far.
    pub(crate) fn names_left_out(&self) -> Vec<String> {
        self.shared.left_out.take()
    }

    /// The number of the next dropout layer, from 0.
    pub(crate) fn next_dropout(&self) -> u64 {
        self.shared.dropouts.replace(self.shared.dropouts.get() + 1)
    }

    /// All parameters and buffers made so far.
    pub(crate) fn finish(&self) -> (Vec<Arc<Parameter>>, Vec<Arc<Buffer>>) {
        (self.shared.parameters.take(), self.shared.buffers.take())
    }
}
