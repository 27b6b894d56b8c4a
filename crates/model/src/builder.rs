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
}

struct Shared {
    device: Device,
    init: Init,
    /// Whether the backbone's initial values are drawn; not, when they are loaded right after.
    draw_backbone: bool,
    parameters: RefCell<Vec<Arc<Parameter>>>,
    buffers: RefCell<Vec<Arc<Buffer>>>,
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
            dropouts: Cell::new(0),
        };
        Self {
            shared: Rc::new(shared),
            path: String::new(),
            part: Part::Backbone,
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
        let draws = self.shared.draw_backbone || self.part == Part::Head;
        let initial = if draws {
            initial
        } else {
            Initial::Constant(0.0)
        };
        let values = initial.draw(shape.iter().product(), &name, self.shared.init);
        let var = Var::from_vec(values, shape, &self.shared.device)?;
        let parameter = Arc::new(Parameter::new(name, var, self.part, kind, fresh));
        self.shared
            .parameters
            .borrow_mut()
            .push(Arc::clone(&parameter));
        Ok(parameter)
    }

    /// A buffer filled with `value`.
    pub fn buffer(&self, name: &str, shape: &[usize], value: f32) -> Result<Arc<Buffer>> {
        let count = shape.iter().product();
        let var = Var::from_vec(vec![value; count], shape, &self.shared.device)?;
        let buffer = Arc::new(Buffer::new(self.join(name), var, self.part));
        self.shared.buffers.borrow_mut().push(Arc::clone(&buffer));
        Ok(buffer)
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
